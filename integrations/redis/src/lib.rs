//! A guard for `gemini-webhooks` that keeps handled events in Redis or Valkey.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub use redis;
