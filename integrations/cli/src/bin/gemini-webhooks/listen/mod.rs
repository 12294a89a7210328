//! `listen`: a receiver behind a tunnel that shows each delivery, says why one is refused, and passes them to an app.

mod api;
mod delivery;
mod forward;
mod intake;
mod judge;
mod kept;
mod output;
mod receive;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::service::service_fn;
use tokio::sync::watch;

use crate::exit::{Exit, Failure};
use crate::page::{self, Page};
use crate::serve::{self, Limits};
use crate::stop::Stop;
use crate::trust::Trust;
use crate::{input, shown, values};

use forward::App;
use judge::Judge;
use kept::Kept;
use output::Output;
use receive::Receiver;

/// A tunnel keeps some connections open, and Google sends few deliveries at a time.
const CONNECTIONS: usize = 64;
const HEAD_TIME: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(5);

const EXAMPLES: &str = "\
Examples:
  Show each delivery of a static webhook, behind a tunnel:
    export WEBHOOK_SIGNING_SECRET=whsec_…
    gemini-webhooks listen
    cloudflared tunnel --url http://127.0.0.1:8787   (or: ngrok http 8787)

  Pass verified deliveries to your app, and look at them in a browser:
    gemini-webhooks listen --forward http://127.0.0.1:8000/gemini-callback --ui

  Receive dynamic webhooks, and write one JSON object for each delivery:
    gemini-webhooks listen --keys google --endpoint-token-file token.txt --json

Ctrl-C ends it in order, with exit code 0.";

/// Receive deliveries, show each as it arrives, and say why one is refused.
///
/// It takes any path, so give Google the URL of your tunnel with the path that your app has. A verified delivery is
/// answered 200, a refused one as a receiver would. With --forward the app answers.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Listen {
    /// Where to listen. A port alone means 127.0.0.1. Give your tunnel the same port.
    #[arg(long, value_name = "ADDRESS:PORT|PORT", default_value = "127.0.0.1:8787", value_parser = values::address)]
    address: SocketAddr,

    /// Also take an --address that other machines reach. There is no TLS: put a proxy in front.
    #[arg(long)]
    allow_public: bool,

    #[command(flatten)]
    trust: Trust,

    /// Send verified deliveries on to this app, and give its answer to the sender. A port alone means 127.0.0.1. If the URL
    /// has a path, it takes the place of the delivery's path. The delivery's query is kept.
    #[arg(
        long,
        value_name = "URL|PORT",
        help_heading = "Passing on",
        value_parser = forward::url
    )]
    forward: Option<reqwest::Url>,

    /// Send refused deliveries on as well, to debug your own receiver. Everyone who knows the tunnel's URL can then
    /// send POST requests to your app.
    #[arg(long, help_heading = "Passing on", requires = "forward")]
    forward_refused: bool,

    /// With --keys and without --endpoint-token-file: send on what any customer of Google can make Google send here.
    #[arg(long, help_heading = "Passing on", requires = "forward")]
    allow_any_google_project: bool,

    /// How long the app may take. The sender gets 504 if it takes longer. A number alone is seconds.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        help_heading = "Passing on",
        requires = "forward",
        value_parser = values::up_to_hours(1)
    )]
    forward_timeout: Duration,

    /// Serve a page on this machine that shows the deliveries, and can send one to the app again. It has a port of its
    /// own, which your tunnel does not publish.
    #[arg(
        long,
        value_name = "ADDRESS:PORT|PORT",
        num_args = 0..=1,
        value_parser = values::address,
        default_missing_value = "127.0.0.1:0",
        help_heading = "Showing"
    )]
    ui: Option<SocketAddr>,

    /// Print one JSON object on a line for each delivery, with its header lines and body.
    #[arg(long, help_heading = "Showing")]
    json: bool,

    /// Print the header lines, the query and the body of each delivery as well.
    #[arg(long, help_heading = "Showing", conflicts_with = "json")]
    full: bool,

    /// The longest body in bytes.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 64 * 1024,
        help_heading = "Limits",
        value_parser = clap::value_parser!(u32).range(1..=16 * 1024 * 1024)
    )]
    max_body: u32,

    /// How long a body may take to arrive. A number alone is seconds.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        help_heading = "Limits",
        value_parser = values::up_to_hours(1)
    )]
    body_timeout: Duration,
}

pub(crate) async fn run(options: &Listen) -> Result<Exit, Failure> {
    let mut stop = Stop::listen()?;
    check_address(options.address, options.allow_public)?;
    check_keys(options)?;
    input::at_most_one_dash(
        options
            .trust
            .secret_file
            .iter()
            .chain(&options.trust.endpoint_token_file),
    )?;
    let Some(setup) = stop.unless(options.trust.setup()).await else {
        return Ok(Exit::Stopped);
    };
    let max_body = usize::try_from(options.max_body).unwrap_or(usize::MAX);
    let setup = setup?.max_body_bytes(max_body);
    let listener = serve::bind(options.address).await?;
    let address = serve::address(&listener)?;
    let app = match &options.forward {
        Some(url) => Some(App::new(url, options.forward_timeout, address)?),
        None => None,
    };
    let (output, mut failed) = Output::new(options.json, options.full);
    let receiver = Arc::new(Receiver {
        judge: Judge::new(setup, options.trust.clone()),
        limits: intake::Limits {
            body: max_body,
            time: options.body_timeout,
        },
        app,
        forward_refused: options.forward_refused,
        kept: options.ui.map(|_| Kept::default()),
        output,
    });
    let (stopping, stopped) = watch::channel(false);
    let page = match options.ui {
        Some(at) => Some(page::serve(
            page::bind(at).await?,
            Page {
                html: include_str!("assets/listen.html"),
                script: include_str!("assets/listen.js"),
                style: include_str!("assets/listen.css"),
                api: api::router(Arc::clone(&receiver), address),
            },
            until(stopped.clone()),
        )?),
        None => None,
    };
    greet(
        &receiver,
        options,
        address,
        page.as_ref().map(|(url, _)| url.as_str()),
    );
    let service = service_fn({
        let receiver = Arc::clone(&receiver);
        move |request| {
            let receiver = Arc::clone(&receiver);
            async move { Ok::<_, Infallible>(receiver.answer(request).await) }
        }
    });
    let limits = Limits {
        connections: CONNECTIONS,
        head_time: HEAD_TIME,
        grace: GRACE,
    };
    let mut servers = pin!(async {
        let page = async {
            if let Some((_, page)) = page {
                page.await;
            }
        };
        tokio::join!(
            serve::serve(listener, service, limits, until(stopped)),
            page
        );
    });
    let failure = tokio::select! {
        () = servers.as_mut() => None,
        () = stop.requested() => None,
        () = receiver.output.count_strays() => None,
        failure = failed.recv() => failure,
    };
    // There is no receiver only if both servers have ended.
    let _ = stopping.send(true);
    if let Some(kept) = &receiver.kept {
        kept.close();
    }
    if let Some(text) = receiver.output.waits_for(GRACE) {
        shown::note(text);
    }
    // Who presses Ctrl-C once more does not want to wait.
    let _ = stop.unless(servers).await;
    receiver.output.say_strays();
    shown::note(receiver.output.summary());
    match failure {
        Some(failure) => Err(failure),
        None => Ok(Exit::Done),
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and the program ends.
    let _ = stopped.wait_for(|is_stopped| *is_stopped).await;
}

/// Without TLS the port is for a tunnel or a proxy of this machine.
fn check_address(address: SocketAddr, allow_public: bool) -> Result<(), Failure> {
    if allow_public || serve::is_loopback(address.ip()) {
        return Ok(());
    }
    Err(Failure::unusable(format!(
        "other machines could reach {address}, and there is no TLS. Listen on 127.0.0.1:{} behind a tunnel, or add \
         --allow-public",
        address.port()
    )))
}

/// Whoever has an API key can have Google sign deliveries of theirs, and aim them at any URL.
fn takes_any_project(trust: &Trust) -> bool {
    trust.keys.is_some() && trust.endpoint_token_file.is_none()
}

/// What passes public keys alone must not reach the app as if it were verified.
fn check_keys(options: &Listen) -> Result<(), Failure> {
    if options.forward.is_none()
        || options.allow_any_google_project
        || !takes_any_project(&options.trust)
    {
        return Ok(());
    }
    Err(Failure::unusable(
        "with --keys and no endpoint token, --forward would pass deliveries of every customer of Google to your app: Google signs for \
         all of them with the same keys. Add --endpoint-token-file FILE, and give Google the URL with that token. Or \
         add --allow-any-google-project, if your app itself checks whose job an event is about",
    ))
}

/// Says where it listens, and what comes of a delivery.
fn greet(receiver: &Receiver, options: &Listen, address: SocketAddr, page: Option<&str>) {
    shown::note(format_args!(
        "listening on http://{address} (POST to any path); Ctrl-C ends it"
    ));
    if let Some(app) = &receiver.app {
        let which = if receiver.forward_refused {
            "all deliveries, refused ones too,"
        } else {
            "verified deliveries"
        };
        shown::note(format_args!("{which} go to {}", app.shown()));
    }
    if receiver.forward_refused {
        shown::warning(
            "with --forward-refused everyone who knows your tunnel's URL can send POST requests to your app",
        );
    }
    if takes_any_project(&options.trust) {
        let text = "\"verified\" says that Google has sent it, for any of its customers: Google signs for all of them with \
                    the same keys. Only --endpoint-token-file FILE tells yours from others";
        if receiver.app.is_some() {
            shown::warning(text);
        } else {
            shown::note(text);
        }
    }
    if let Some(url) = page {
        shown::note(format_args!(
            "the page: {url}\n  (whoever has this URL and an account on this machine can read the deliveries)"
        ));
    }
}
