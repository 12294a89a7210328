//! A durable inbox for `gemini-webhooks`: answer at once, work later, lose nothing.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod entries;
mod entry;
mod error;
mod inbox;
mod opening;
mod receipt;
mod room;
mod store;
mod worker;

pub use entries::Entries;
pub use entry::{Change, Entry, State, What};
pub use error::{InboxError, InboxErrorKind};
pub use inbox::{Depth, HandlerFuture, Inbox, Stored};
pub use opening::Opening;
pub use receipt::Receipt;
pub use sqlx;
pub use store::Database;
pub use worker::{Work, WorkError, WorkTransaction, Worker};
