use std::net::TcpListener;

use actix_web::web::{self, ServiceConfig};
use actix_web::{App, HttpServer};
use gemini_webhooks::{VerifyWebhook, WebhookReceiver};
use gemini_webhooks_inbox::{Database, Inbox, Worker};
use tokio_util::sync::CancellationToken;

async fn run<DB: Database>(
    listener: TcpListener,
    inbox: Inbox<DB>,
    receiver: WebhookReceiver,
    worker: Worker<DB>,
    stop: CancellationToken,
) -> Result<(), Box<dyn std::error::Error>> {
    let routes = routes(inbox, receiver);
    let server = HttpServer::new(move || App::new().configure(routes.clone()))
        .listen(listener)?
        // By default Ctrl-C drops the requests in flight. Google sends them again.
        .shutdown_signal(stop.clone().cancelled_owned())
        .run();
    let (served, worked) = tokio::join!(server, worker.run_until(stop.cancelled()));
    served?;
    worked?;
    Ok(())
}

fn routes<DB: Database>(
    inbox: Inbox<DB>,
    receiver: WebhookReceiver,
) -> impl Fn(&mut ServiceConfig) + Clone + Send + 'static {
    move |app| {
        let callback = web::resource("/gemini-callback")
            .wrap(VerifyWebhook::new(receiver.clone()))
            .route(web::post().to(inbox.handler()));
        app.service(callback);
    }
}
