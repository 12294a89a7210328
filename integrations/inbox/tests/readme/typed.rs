use gemini_webhooks::event::VideoGenerated;
use gemini_webhooks_inbox::sqlx::Sqlite;
use gemini_webhooks_inbox::{Inbox, Work, WorkError, Worker};

type Db = Sqlite; // or `Postgres`

struct App {
    folder: String,
}

fn worker(inbox: &Inbox<Db>, app: App) -> Worker<Db, App> {
    inbox.worker().with_state(app).on(on_video)
}

async fn on_video(video: VideoGenerated, work: Work<Db, App>) -> Result<(), WorkError> {
    let Some(uri) = video.output_file_uri() else {
        return Err(WorkError::dead("the event names no file"));
    };
    println!("{uri} belongs into {}", work.state().folder);
    Ok(())
}
