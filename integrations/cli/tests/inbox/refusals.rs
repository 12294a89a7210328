//! Databases that are none, and input that cannot be used.

use gemini_webhooks_harness::database_url;
use gemini_webhooks_inbox::sqlx::sqlite::SqliteConnection;
use gemini_webhooks_inbox::sqlx::{Connection as _, raw_sql};

use crate::home::{BATCH, Place, ended, put, sqlite, work};
use crate::run::program;

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_not_made() {
    let place = Place::new_sqlite();
    for mode in ["", "?mode=rwc"] {
        let url = format!("sqlite:{}{mode}", place.file());
        let mut by_variable = program(&["inbox", "count"]);
        by_variable.env("DATABASE_URL", &url);
        for (program, says) in [
            (place.program(&["count"]), "there is no file"),
            (by_variable, "DATABASE_URL names no file that is there"),
        ] {
            let ended = ended(program).await;
            assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
            assert!(ended.stderr.contains(says), "{ended:?}");
            assert!(!std::fs::exists(place.file()).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_no_inbox_is_left_as_it_is() {
    let place = Place::new_sqlite();
    let url = format!("sqlite:{}?mode=rwc", place.file());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let made = raw_sql("CREATE TABLE orders (id text)");
    made.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = std::fs::read(place.file()).unwrap();
    for arguments in [&["list"][..], &["retry", "--all-dead", "--yes"], &["ui"]] {
        let ended = place.run(arguments).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains("there is no inbox in"), "{ended:?}");
    }
    assert_eq!(std::fs::read(place.file()).unwrap(), before);

    for (name, content, says) in [
        (
            "a text",
            "This is a text. ".repeat(64),
            "is not a database of SQLite",
        ),
        (
            "a short text",
            "x".to_owned(),
            "is not a database of SQLite",
        ),
        ("an empty file", String::new(), "there is no inbox in"),
    ] {
        std::fs::write(place.file(), &content).unwrap();
        let ended = place.run(&["count"]).await;
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
        let after = std::fs::read_to_string(place.file()).unwrap();
        assert_eq!(after, content, "{name}");
    }

    let empty = Place::new_postgres().await;
    let ended = empty.run(&["count"]).await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("search_path"), "{ended:?}");
    empty.clear().await;
}

/// Whatever somebody put there by mistake.
#[tokio::test(flavor = "multi_thread")]
async fn what_names_a_database_is_never_shown() {
    const PASSWORD: &str = "hunter2secret";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    for (name, text, says) in [
        (
            "words of libpq",
            "host=db user=u password=hunter2secret",
            "names no file",
        ),
        ("another secret", "hunter2secret+/=", "names no file"),
        ("no scheme", "u:hunter2secret@host/db", "names no file"),
        (
            "a path that is too long",
            &format!("hunter2secret{}", "x".repeat(5000)),
            "cannot look at the file that ",
        ),
        (
            "a folder",
            &format!("{}/../../tmp/", folder.path().display()),
            "is no file",
        ),
        (
            "SQLite with a password",
            "sqlite://u:hunter2secret@host/x?foo=hunter2secret",
            "has no URL of SQLite",
        ),
        (
            "SQLite with a bad setting",
            "sqlite:webhooks.db?mode=hunter2secret",
            "has no URL of SQLite",
        ),
        (
            "a bad setting of PostgreSQL",
            "postgres://u:hunter2secret@127.0.0.1:1/db?sslmode=hunter2secret",
            "a setting behind its `?` has a value that is not known",
        ),
        (
            "no port",
            "postgres://u:hunter2secret@127.0.0.1:hunter2secret/db",
            "invalid port number",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let mut by_variable = program(&["inbox", "count"]);
        by_variable.env("DATABASE_URL", text);
        let path = file.to_str().unwrap();
        let by_file = program(&["inbox", "count", "--database-file", path]);
        for (from, program) in [("DATABASE_URL", by_variable), (path, by_file)] {
            let ended = ended(program).await;
            assert_eq!(
                (ended.code, &*ended.stdout),
                (Some(2), ""),
                "{name}: {ended:?}"
            );
            assert!(ended.stderr.contains(says), "{name}: {ended:?}");
            assert!(ended.stderr.contains(from), "{name}: {ended:?}");
            assert!(!ended.stderr.contains(PASSWORD), "{name}: {ended:?}");
            assert!(!ended.stderr.contains(text), "{name}: {ended:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_never_shown() {
    let url = database_url();
    let (front, rest) = url.split_once('@').unwrap();
    let user = front.rsplit_once(':').unwrap().0;
    let wrong = format!("{user}:hunter2secret@{rest}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, format!("{wrong}\n")).unwrap();
    let file = file.to_str().unwrap();

    let with = |url: &str| {
        let mut program = program(&["inbox", "count"]);
        program.env("DATABASE_URL", url);
        program
    };
    for (name, program, code, says) in [
        (
            "a wrong password",
            with(&wrong),
            1,
            "password authentication failed",
        ),
        (
            "a wrong password in a file",
            program(&["inbox", "count", "--database-file", file]),
            1,
            "password authentication failed",
        ),
        (
            "nobody listens",
            with("postgres://u:hunter2secret@127.0.0.1:1/db"),
            1,
            "cannot connect",
        ),
        (
            "no port",
            with("postgres://u:hunter2secret@127.0.0.1:x/db"),
            2,
            "cannot be read",
        ),
        (
            "a bad setting",
            with("postgres://u:hunter2secret@127.0.0.1/db?sslmode=x"),
            2,
            "cannot be read",
        ),
        (
            "another database",
            with("mysql://u:hunter2secret@127.0.0.1/db"),
            2,
            "and not in mysql",
        ),
        (
            "an argument",
            program(&[
                "inbox",
                "count",
                "--sqlite",
                "postgres://u:hunter2secret@127.0.0.1/db",
            ]),
            2,
            "DATABASE_URL",
        ),
    ] {
        let ended = ended(program).await;
        assert_eq!(ended.code, Some(code), "{name}: {ended:?}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
        assert!(!ended.stderr.contains("hunter2secret"), "{name}: {ended:?}");
        assert_eq!(ended.stdout, "", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_cannot_be_used() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    put(&inbox, "dead_1", BATCH.as_bytes()).await;
    work(&inbox).await;
    let none = ended(program(&["inbox", "count"])).await;
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.contains("--sqlite"), "{none:?}");
    for (name, arguments, says) in [
        (
            "no number to drop",
            &["drop", "msg_x", "--yes"][..],
            "the number that `inbox list` shows, or --state and",
        ),
        (
            "no number to go on from",
            &["list", "--after", "msg_x"],
            "the number that `inbox list` shows",
        ),
        (
            "not asked",
            &["drop", "1"],
            "`inbox drop` asks before it does this, and there is no terminal: give --yes",
        ),
        (
            "a state that is shown",
            &["list", "--state", "dropped"],
            "done",
        ),
    ] {
        let ended = place.run(arguments).await;
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
    }
    for (name, arguments) in [
        ("nothing is named", &["drop", "--yes"][..]),
        (
            "only a type",
            &["retry", "--type", "batch.succeeded", "--yes"],
        ),
        (
            "a number and a state",
            &["retry", "1", "--state", "dead", "--yes"],
        ),
        (
            "a number and a type",
            &["drop", "1", "--type", "batch.succeeded", "--yes"],
        ),
        (
            "all of a type",
            &["drop", "--all-dead", "--type", "batch.succeeded", "--yes"],
        ),
        ("no number", &["retry", "dead_1", "--yes"]),
        (
            "what waits is tried anyway",
            &["retry", "--state", "waiting", "--yes"],
        ),
        ("what runs", &["drop", "--state", "running", "--yes"]),
        ("what is over", &["drop", "--state", "done", "--yes"]),
        ("no such state", &["list", "--state", "gone"]),
        ("no limit", &["list", "--limit", "0"]),
        ("no namespace", &["list", "--namespace", ""]),
    ] {
        let ended = place.run(arguments).await;
        assert_eq!(
            (ended.code, &*ended.stdout),
            (Some(2), ""),
            "{name}: {ended:?}"
        );
        assert!(ended.stderr.contains("error:"), "{name}: {ended:?}");
    }
    assert_eq!(inbox.depth().await.unwrap().dead, 1, "nothing has changed");
}

/// A body that is no JSON, and one that is no text.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_any_kind() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    put(&inbox, "text", b"\x1b]0;title\x07 <script>\nno event").await;
    put(&inbox, "bytes", b"\xff\x00\xfe").await;
    put(&inbox, "type", br#"{"type":"a\u001b[31m\nb\u0000"}"#).await;
    let listed = place.run(&["list"]).await;
    assert_eq!(listed.stdout.lines().count(), 4, "{listed:?}");
    assert!(!listed.stdout.contains('\u{1b}'), "{listed:?}");
    for (id, shown) in [
        ("text", "\\u{1b}]0;title\\u{7} <script>\nno event"),
        ("bytes", "in Base64:\n/wD+"),
        ("type", "a\\u{1b}[31m\\nb\\u{0}"),
    ] {
        let page = place.run(&["show", id]).await;
        assert!(page.stdout.contains(shown), "{id}: {page:?}");
        assert!(!page.stdout.contains(['\u{1b}', '\u{7}']), "{id}: {page:?}");
    }
    let bytes = place.json(&["show", "bytes", "--json"]).await;
    assert_eq!(bytes[0]["body_base64"], "/wD+");
    assert!(bytes[0]["event"].is_null(), "{bytes:?}");
}
