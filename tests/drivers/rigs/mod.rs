//! The drivers: how each does the work of an event and settles its claim in one transaction.

mod diesel_async;
mod sea_orm;
mod sqlx_0_8;
mod tokio_postgres;

use gemini_webhooks::Delivery;
use tower::BoxError;

pub(crate) use self::diesel_async::DieselAsync;
pub(crate) use self::sea_orm::SeaOrm;
pub(crate) use self::sqlx_0_8::Sqlx08;
pub(crate) use self::tokio_postgres::TokioPostgres;
use crate::app::End;

/// Of each pool: one transaction that is open, and one beside it.
const CONNECTIONS: u32 = 2;

/// A driver, with a pool of connections.
pub(crate) trait Driver: Clone + Send + Sync + 'static {
    /// Whether a transaction goes on to its end if the handler that waits for it is dropped. Else it is
    /// rolled back.
    const OUTLIVES_ITS_HANDLER: bool = false;

    fn connect(url: &str) -> impl Future<Output = Self> + Send;

    /// Opens a transaction, does the work of the event and settles its claim in it, and ends it as
    /// `end` says. An error rolls it back.
    fn transaction(
        &self,
        delivery: &Delivery,
        end: End,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}
