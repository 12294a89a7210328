//! Which handler runs for which event, as the service that the engine calls.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks::event::Payload;

use super::queue::Taken;
use super::work::{Then, Work, WorkError};
use crate::inbox::Shared;
use crate::store::Database;

type Run = Pin<Box<dyn Future<Output = Result<(), WorkError>> + Send>>;
/// Returns nothing if it is not for this event.
type Route<DB, S> =
    Arc<dyn Fn(&GeminiEvent, Work<DB, S>) -> Result<Run, Box<Work<DB, S>>> + Send + Sync>;

/// The handlers, in the order in which they are asked.
pub(crate) struct Routes<DB: Database, S> {
    typed: Vec<Route<DB, S>>,
    otherwise: Option<Route<DB, S>>,
}

impl<DB: Database, S: Send + Sync + 'static> Routes<DB, S> {
    pub(crate) fn new() -> Self {
        Self {
            typed: Vec::new(),
            otherwise: None,
        }
    }

    pub(crate) fn on<P, F, Fut>(&mut self, handler: F)
    where
        P: Payload,
        F: Fn(P, Work<DB, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), WorkError>> + Send + 'static,
    {
        self.typed
            .push(Arc::new(move |event, work| match event.payload::<P>() {
                Some(payload) => Ok(Box::pin(handler(payload.clone(), work))),
                None => Err(Box::new(work)),
            }));
    }

    pub(crate) fn otherwise<F, Fut>(&mut self, handler: F)
    where
        F: Fn(GeminiEvent, Work<DB, S>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), WorkError>> + Send + 'static,
    {
        self.otherwise = Some(Arc::new(move |event, work| {
            Ok(Box::pin(handler(event.clone(), work)))
        }));
    }

    /// Keeps the handlers, which have no use for the state.
    pub(crate) fn with_state<T: Send + Sync + 'static>(self) -> Routes<DB, T>
    where
        S: Default,
    {
        let adapt = |route: Route<DB, S>| -> Route<DB, T> {
            Arc::new(move |event, work: Work<DB, T>| {
                let (state, without) = work.take_state(Arc::new(S::default()));
                route(event, without).map_err(|work| Box::new(work.take_state(state).1))
            })
        };
        Routes {
            typed: self.typed.into_iter().map(adapt).collect(),
            otherwise: self.otherwise.map(adapt),
        }
    }

    fn run(&self, event: &GeminiEvent, mut work: Work<DB, S>) -> Run {
        for route in self.typed.iter().chain(&self.otherwise) {
            match route(event, work) {
                Ok(run) => return run,
                Err(unwanted) => work = *unwanted,
            }
        }
        let name = event.type_name().unwrap_or("none");
        let why = format!(
            "there is no handler for events of the type {name}: add one by `on` or `otherwise` to the worker, or call \
             `ignore_others`"
        );
        Box::pin(async move { Err(WorkError::dead(why)) })
    }
}

impl<DB: Database, S> Work<DB, S> {
    fn take_state<T>(self, state: Arc<T>) -> (Arc<S>, Work<DB, T>) {
        let work = Work {
            shared: self.shared,
            state,
            held: self.held,
            event: self.event,
            scheme: self.scheme,
            received_at: self.received_at,
        };
        (self.state, work)
    }
}

/// What the engine calls for each event.
pub(crate) async fn run<DB: Database, S: Send + Sync + 'static>(
    routes: Arc<Routes<DB, S>>,
    state: Arc<S>,
    shared: Arc<Shared<DB>>,
    taken: Taken,
) -> Result<(), Failure> {
    let committed = Arc::clone(&taken.held.committed);
    let work = Work {
        shared,
        state,
        held: taken.held,
        event: taken.event.clone(),
        scheme: taken.scheme,
        received_at: taken.received_at,
    };
    routes.run(&taken.event, work).await?;
    if committed.was_left() {
        let why = "the handler began a transaction and has not committed it";
        return Err(WorkError::new(why).into());
    }
    Ok(())
}

/// How a run has failed. The handler's own error is turned into text inside of the run, because its code may
/// panic as well.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) why: String,
    pub(crate) then: Then,
}

impl From<WorkError> for Failure {
    fn from(error: WorkError) -> Self {
        Self {
            why: error.to_string(),
            then: error.then,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Failure {}
