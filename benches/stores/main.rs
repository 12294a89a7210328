//! What the guards of the stores do in a second, beside their drivers, and what the layer does with
//! them. On servers of its own; `scripts/bench-stores` runs this.

use std::env;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::{
    Clock as _, GeminiEvent, Scheme, SystemClock, VerifyLayer, WebhookReceiver,
    WebhookReceiverBuilder, testing,
};
use gemini_webhooks_benches::quantile;
use gemini_webhooks_benches::tasks::{Contender, Error, compare};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};

mod postgres;
mod redis;
mod sqlite;

use postgres::Postgres;
use redis::Redis;
use sqlite::Sqlite;

const LEASE: Duration = Duration::from_secs(120);
const RETENTION: Duration = Duration::from_secs(25 * 60 * 60);
/// Of PostgreSQL's, its default.
const SHARED_BUFFERS: &str = "128MB";
const POOL: u32 = 16;
const FEW_ROWS: u64 = 10_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let rows: u64 = match env::args().nth(1) {
        Some(rows) => rows.parse()?,
        None => 1_000_000,
    };
    let postgres = Postgres::start().await?;
    let redis = Redis::start(&[]).await?;
    let durable = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]).await?;
    let sqlite = Sqlite::start().await?;

    let title = "Redis, without a file: claim and settle, beside `SET NX` and `SET`";
    compare(title, redis.contenders()).await?;
    let title = "Redis, appendfsync always";
    compare(title, durable.contenders()).await?;
    let title = format!(
        "PostgreSQL, a pool of {POOL}: claim and settle, beside INSERT and UPDATE by primary key"
    );
    compare(&title, postgres.contenders()).await?;
    let title =
        "SQLite, WAL, synchronous FULL: claim and settle, beside INSERT and UPDATE by primary key";
    compare(title, sqlite.contenders()).await?;

    let layers = vec![
        delivery(
            "no guard",
            WebhookReceiverBuilder::without_replay_protection,
        )?,
        delivery("memory", |builder| {
            builder.guard("bench", MemoryGuard::new().with_capacity(100_000_000))
        })?,
        delivery("Redis", |builder| builder.guard("bench", redis.guard()))?,
        delivery("Redis, appendfsync always", |builder| {
            builder.guard("bench", durable.guard())
        })?,
        delivery("PostgreSQL", |builder| {
            builder.guard("bench", postgres.guard())
        })?,
        delivery("SQLite", |builder| builder.guard("bench", sqlite.guard()))?,
    ];
    compare("deliveries through `VerifyLayer`, in process", layers).await?;

    println!("\nwith {rows} rows, beside {FEW_ROWS}");
    println!("PostgreSQL's shared_buffers: {SHARED_BUFFERS}");
    redis.grow(rows).await?;
    postgres.grow(rows).await?;
    sqlite.grow(rows).await?;

    println!("\na clean-up of 100,000 expired rows, beside claims of 4 tasks");
    postgres.clean_up().await?;
    sqlite.clean_up().await?;
    Ok(())
}

/// An event that nobody has claimed before.
fn key(number: u64) -> ClaimKey {
    ClaimKey::new(
        "bench",
        Scheme::V1,
        &format!("msg_{:032x}", rand_of(number)),
    )
}

/// As ids are: not in the order in which they come.
fn rand_of(number: u64) -> u128 {
    let mixed = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    mixed ^ (mixed >> 64)
}

/// A claim and its settle.
fn handled(name: &str, guard: Arc<dyn ReplayGuard>, first: u64) -> Contender {
    Contender::new(name, move |number| {
        let guard = Arc::clone(&guard);
        async move {
            let (key, token) = (key(first + number), ClaimToken::generate());
            let claimed = guard.claim(&key, token, LEASE).await?;
            let settled = guard.settle(&key, token, RETENTION).await?;
            match (claimed, settled) {
                (Claimed::Claimed, Settled::Settled) => Ok(()),
                other => Err(format!("{key:?} is {other:?}").into()),
            }
        }
    })
}

/// A signed delivery of an event that has not come before, through the layer.
fn delivery(
    name: &str,
    configure: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
) -> Result<Contender, Error> {
    let secret = testing::SECRET.parse()?;
    let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
    let layer = VerifyLayer::new(configure(builder).build()?);
    let service = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let event = request.extensions().get::<GeminiEvent>();
        event.ok_or("no event")?;
        Ok::<_, Error>(Response::new(Full::<Bytes>::default()))
    }));
    let secret = Arc::new(secret);
    Ok(Contender::new(name, move |number| {
        let (service, secret) = (service.clone(), Arc::clone(&secret));
        async move {
            let event = testing::SAMPLE_EVENTS[0];
            let now = SystemClock.now().duration_since(UNIX_EPOCH)?;
            let id = format!("msg_{:032x}", rand_of(number ^ (1 << 62)));
            let mut request = Request::post("/").body(Full::<Bytes>::from(event))?;
            for (name, value) in testing::sign_v1(&secret, &id, now.as_secs(), event) {
                request.headers_mut().insert(name, value.parse()?);
            }
            let answer = service.oneshot(request).await?;
            match answer.status().as_u16() {
                200 => Ok(()),
                status => Err(format!("answered {status}").into()),
            }
        }
    }))
}

/// What claims take while a clean-up runs, beside what they take without.
async fn beside_a_clean_up(
    store: &str,
    guard: Arc<dyn ReplayGuard>,
    clean_up: impl Future<Output = Result<u64, GuardError>>,
) -> Result<(), Error> {
    const TASKS: usize = 4;
    let claims = handled(store, guard, 1 << 50);
    let calm = claims.run(TASKS, Duration::from_secs(3)).await?;
    let begun = SystemClock.monotonic();
    let removing = async {
        let removed = clean_up.await?;
        Ok::<_, Error>((removed, SystemClock.monotonic() - begun))
    };
    let (removed, beside) = tokio::join!(removing, claims.run(TASKS, Duration::from_secs(3)));
    let ((removed, took), beside) = (removed?, beside?);
    let worst = |times: &[f64]| quantile(times.iter().copied(), 1.0);
    println!(
        "{store}: {removed} removed in {took:.1?}; the slowest claim with its settle took {:.1} ms, {:.1} ms before",
        worst(&beside),
        worst(&calm)
    );
    Ok(())
}
