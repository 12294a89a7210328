//! `inbox ui`.
use clap::Args;
use gemini_webhooks_inbox::{Database, Inbox};

use crate::exit::{Exit, Failure};
use crate::stop::Stop;

/// Show the inbox as a page.
#[derive(Debug, Args)]
pub(super) struct Ui {}

impl Ui {
    pub(super) async fn run<DB: Database>(
        &self,
        _inbox: &Inbox<DB>,
        _name: &str,
        _namespace: &str,
        _stop: Stop,
    ) -> Result<Exit, Failure> {
        Ok(Exit::Done)
    }
}
