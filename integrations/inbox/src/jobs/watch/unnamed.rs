//! Jobs that were announced and have no name: a batch is looked for in the project's list, and what stays without a name
//! until its time is over is a dead letter.

use std::collections::HashSet;

use gemini_webhooks::client::Batch;
use gemini_webhooks::event::JobKind;
use serde_json::Value as Json;

use super::{Due, Pass, Watcher};
use crate::error::InboxError;
use crate::jobs::OWN_ID;
use crate::store::Database;

/// One list serves so many.
const AT_ONCE: u32 = 1000;

/// Batches of a page.
const PAGE: u32 = 100;

/// A list that goes on further is stopped.
const PAGES: u32 = 10_000;

impl<DB: Database> Watcher<DB> {
    /// Returns whether a job was found.
    pub(super) async fn look_for_unnamed(&self, pass: &mut Pass) -> Result<bool, InboxError> {
        let unnamed = self
            .due(DB::STATEMENTS.jobs.watching.unnamed, AT_ONCE)
            .await?;
        let is_batch = |due: &Due| due.expectation.announced().kind() == JobKind::Batch;
        let (batches, others): (Vec<_>, Vec<_>) = unnamed.into_iter().partition(is_batch);
        for due in others {
            let why = "its start was announced, and neither its name was written down nor has an event told it: it may \
                       have been started or not, and what it is called is not known";
            self.give_up(&due, why, pass).await?;
        }
        if batches.is_empty() {
            return Ok(false);
        }
        let named = pass.named;
        let missing = match self.find_in_list(batches, pass).await? {
            Listed::Whole(missing) => missing,
            Listed::Elsewhere => return Ok(false),
            Listed::Failed(missing, why) => {
                pass.failed += 1;
                tracing::warn!("cannot look for batches that were announced: {why}");
                for due in missing {
                    if self.is_in_vain(&due) {
                        let why =
                            format!("its start was announced, and cannot be looked for: {why}");
                        self.give_up(&due, &why, pass).await?;
                    } else {
                        self.ask_again(&due, 0).await?;
                    }
                }
                return Ok(pass.named > named);
            }
        };
        for due in missing {
            let left = due.left();
            if left.is_zero() {
                let why = "its start was announced, and no batch of the project has its id in `displayName` or \
                           `user_metadata`: it was not started, was started without the id, or is deleted";
                self.give_up(&due, why, pass).await?;
            } else {
                // A list has what was created before it. The last word is had when its time is over.
                self.postpone(&due, left, 0).await?;
            }
        }
        Ok(pass.named > named)
    }

    /// Goes through all pages, because Google says nothing about their order.
    async fn find_in_list(
        &self,
        mut missing: Vec<Due>,
        pass: &mut Pass,
    ) -> Result<Listed, InboxError> {
        let batches = self.service.batches();
        let mut token: Option<String> = None;
        let mut seen = HashSet::new();
        for _ in 0..PAGES {
            // A list that was broken off would have to begin anew.
            if !self.wait_for_quota().await? {
                return Ok(Listed::Elsewhere);
            }
            pass.asked += 1;
            let page = match batches.list_page(Some(PAGE), token.as_deref()).await {
                Ok(page) => page,
                Err(error) => {
                    self.tell_quota(&error);
                    return Ok(Listed::Failed(missing, error.to_string()));
                }
            };
            for batch in page.items() {
                let at = missing.iter().position(|due| carries_id(batch, due));
                let (Some(at), Some(job)) = (at, batch.job()) else {
                    continue;
                };
                let due = missing.swap_remove(at);
                let announced = due.expectation.announced();
                self.inbox.started(announced, &job).await?;
                pass.named += 1;
                tracing::info!(%job, own_id = announced.id(), "found an announced batch in a list");
            }
            let next = page.next_page_token().map(str::to_owned);
            let (false, Some(next)) = (missing.is_empty(), next) else {
                return Ok(Listed::Whole(missing));
            };
            if !seen.insert(next.clone()) {
                break;
            }
            token = Some(next);
        }
        let why = "the list of the project's batches does not come to an end";
        Ok(Listed::Failed(missing, why.to_owned()))
    }
}

enum Listed {
    /// Those that are in no page.
    Whole(Vec<Due>),
    /// Another watcher has taken the work over.
    Elsewhere,
    Failed(Vec<Due>, String),
}

fn carries_id(batch: &Batch, due: &Due) -> bool {
    let id = due.expectation.announced().id();
    let in_name = batch.display_name().is_some_and(|name| name.contains(id));
    let metadata = batch
        .user_metadata()
        .and_then(|metadata| metadata.get(OWN_ID));
    in_name || metadata.and_then(Json::as_str) == Some(id)
}
