//! `send`: signed sample deliveries to an app, without Google.

mod answer;
mod course;
mod event;
mod keys;
mod meaning;
mod options;
mod report;
mod served;
mod sign;
mod tamper;
mod target;
mod wanted;
mod words;

use std::sync::Arc;

use gemini_webhooks::{Clock as _, EndpointToken, SystemClock};

use self::course::Plan;
use self::event::Event;
pub(crate) use self::options::Options;
use self::report::Report;
use self::served::Served;
use self::sign::Signer;
use self::target::Target;
use self::wanted::Wanted;
use crate::exit::{Exit, Failure};
use crate::stop::Stop;
use crate::{input, shown};

const TOKEN_VARIABLE: &str = "WEBHOOK_ENDPOINT_TOKEN";
/// With --rate. More than an app that keeps up has in flight.
const CONCURRENCY: u16 = 100;

/// Sends the deliveries, and says what was answered.
pub(crate) async fn run(options: Options) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    let files = [&options.event.body, &options.signed.endpoint_token_file];
    let files = files.into_iter().flatten();
    input::at_most_one_dash(files.chain(&options.signed.secret_file))?;
    let target = Target::new(&options.url)?;
    if target.has_token() {
        shown::warning(
            "the URL has an endpoint token, and every user of this machine can read arguments: give the URL without \
             it, and the token in a file, with --endpoint-token-file",
        );
    }
    let target = with_token(target, &options).await?;
    let event = Event::of(&options.event, SystemClock.now()).await?;
    let signer = Signer::of(&options.signed).await?;
    let plan = plan(&options, target, signer, &event)?;
    let served = match plan.signer.key_set() {
        Some(key_set) => Some(Served::start(options.signed.jwks_address, key_set).await?),
        None => None,
    };
    say_what_is_sent(&plan, &event, served.as_ref());
    let plan = Arc::new(plan);
    let mut report = Report::new(&plan, served.as_ref(), options.json);
    let end = course::run(&plan, &mut stop, &mut report).await?;
    report.finish(end)?;
    Ok(if end.stopped {
        Exit::Stopped
    } else if report.all_good() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

/// Checks all that can be checked before anything is sent.
fn plan(options: &Options, target: Target, signer: Signer, event: &Event) -> Result<Plan, Failure> {
    let course = &options.course;
    let offset = options.signed.clock_offset.unwrap_or_default();
    let concurrency = match (course.concurrency, course.rate) {
        (Some(concurrency), _) => concurrency,
        (None, Some(_)) => CONCURRENCY,
        (None, None) => 1,
    };
    let mut plan = Plan {
        client: answer::client(&target, course.timeout)?,
        target,
        signer,
        body: event.body.clone().into(),
        is_sample: event.is_sample,
        id: options.event.id.clone(),
        tamper: options.signed.tamper,
        clock_offset: offset.as_secs(),
        count: course.count.into(),
        repeat: course.repeat.into(),
        rate: course.rate,
        concurrency: concurrency.into(),
        retry_for: course.retry.then_some(course.retry_for),
        wanted: Wanted {
            status: course.expect,
            refusal: None,
        },
    };
    plan.target
        .may_take(plan.total(), plan.rate.is_some(), course.allow_remote)?;
    let id = plan.id.as_deref().unwrap_or("msg_sample");
    let (request, _) = plan.request(id)?;
    answer::headers(&request)?;
    plan.wanted.refusal = request.refusal(&plan.signer.verifier()?, SystemClock.now());
    Ok(plan)
}

/// Adds the endpoint token to the URL.
async fn with_token(target: Target, options: &Options) -> Result<Target, Failure> {
    let signed = &options.signed;
    let (name, text) = match &signed.endpoint_token_file {
        Some(_) if target.has_token() => {
            return Err(Failure::unusable(
                "the URL has an endpoint token already: leave it out there, or leave out --endpoint-token-file",
            ));
        }
        Some(path) => (
            input::name(path),
            input::read_secret(path, "endpoint token").await?,
        ),
        None if target.has_token() || !(signed.ed25519 || signed.jwt.is_some()) => {
            return Ok(target);
        }
        None => match input::variable(TOKEN_VARIABLE)? {
            // The URL may also have it in its path.
            Some(text) if !target.url().path().contains(text.as_str()) => {
                (TOKEN_VARIABLE.to_owned(), text)
            }
            _ => return Ok(target),
        },
    };
    let token = EndpointToken::new(&*text)
        .map_err(|error| Failure::unusable(format!("{name}: {error}")))?;
    target.with_token(&token)
}

fn say_what_is_sent(plan: &Plan, event: &Event, served: Option<&Served>) {
    if let Some(remark) = &event.remark {
        shown::warning(remark);
    }
    if plan.target.has_token() && plan.target.is_open() {
        shown::warning(format_args!(
            "the endpoint token goes to {} without encryption: use https, or make a token for this test",
            plan.target.address()
        ));
    }
    if let Some(served) = served {
        shown::note(format_args!(
            "The public key is at {url} meanwhile. Start the app with GEMINI_JWKS_URL={url}, or give it to `jwks_url`.",
            url = served.url()
        ));
    }
    let total = plan.total();
    let times = match (plan.count, plan.repeat) {
        (1, 1) => String::new(),
        (1, repeat) => format!("{repeat} times "),
        (count, 1) => format!("as {count} events "),
        (count, repeat) => format!("as {count} events, {repeat} times each, "),
    };
    let again = if plan.retry_for.is_some() {
        ", again until it is answered as it should be"
    } else {
        ""
    };
    shown::note(format_args!(
        "sending {} ({} bytes) {times}to {}, signed with {}{again}",
        event.name,
        event::body_of(&plan.body, &event::new_id().unwrap_or_default()).len(),
        plan.target.shown(),
        plan.signer.name(),
    ));
    match plan.wanted.refusal {
        Some(kind) => shown::note(format_args!(
            "A receiver refuses {} with {}.",
            if total == 1 { "it" } else { "them" },
            kind.code()
        )),
        None if plan.tamper.is_some() => shown::note(
            "A receiver accepts it all the same: a JWT carries the event itself, and neither the id nor the timestamp \
             nor how the body is written is signed.",
        ),
        None => {}
    }
}
