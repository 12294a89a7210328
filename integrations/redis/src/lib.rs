#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod call;
mod error;
mod guard;
mod link;
mod ready;
mod scripts;
mod settings;
mod single;

pub use guard::RedisGuard;
pub use redis;
