#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod error;
mod guard;
mod link;
mod ready;
mod scripts;

pub use guard::RedisGuard;
pub use redis;
