//! Claims that an app settles in its own transaction, with other drivers than the guard's.
//!
//! A driver gets all cases by writing one `Driver`. `documented/` has what an app on it needs, and
//! `OTHER_DRIVERS.md` of the guard's crate holds the same text.
#![forbid(unsafe_code)]

mod app;
mod cases;
mod rigs;
mod store;

macro_rules! cases {
    ($($case:ident)*) => {
        $(
            #[tokio::test]
            async fn $case() {
                let store = crate::store::Store::new().await;
                crate::cases::$case::<Driver>(&store).await;
                store.remove().await;
            }
        )*
    };
}

macro_rules! drivers {
    ($($module:ident: $driver:ident)*) => {
        $(
            mod $module {
                use crate::rigs::$driver as Driver;

                cases! {
                    committed_and_200
                    rolled_back_and_200
                    committed_and_500
                    claim_lost
                    copy_while_open
                    copy_while_open_after_the_lease
                    rolled_back_after_a_copy
                    dropped_while_open
                }
            }
        )*
    };
}

drivers! {
    sqlx_0_8: Sqlx08
    tokio_postgres: TokioPostgres
    diesel_async: DieselAsync
    sea_orm: SeaOrm
}

#[test]
fn the_page_shows_what_is_run() {
    let page = include_str!("../../integrations/sqlx/OTHER_DRIVERS.md");
    for code in [
        include_str!("documented/tokio_postgres.rs"),
        include_str!("documented/diesel_async.rs"),
        include_str!("documented/sea_orm.rs"),
        include_str!("documented/sqlx_0_8.rs"),
    ] {
        assert!(
            page.contains(&format!("```rust,ignore\n{code}```")),
            "{code}"
        );
    }
    assert_eq!(page.matches("```rust").count(), 4);
}
