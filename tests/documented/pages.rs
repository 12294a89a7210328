//! Holds the pages against the examples that are run.

use std::fs;
use std::path::Path;

/// What is run, with the page that shows it.
const EXAMPLES: [(&str, &str); 43] = [
    ("README.md", include_str!("readme/axum_static.rs")),
    ("README.md", include_str!("readme/actix_static.rs")),
    ("README.md", include_str!("readme/register.rs")),
    (START, include_str!("guide/getting_started_axum.rs")),
    (START, include_str!("guide/getting_started_actix.rs")),
    (DYNAMIC, include_str!("readme/axum_dynamic.rs")),
    (DYNAMIC, include_str!("guide/dynamic_actix.rs")),
    (DYNAMIC, include_str!("guide/dynamic_owns.rs")),
    (ONCE, include_str!("guide/once_in_a_transaction.rs")),
    (INBOX, include_str!("guide/inbox_axum.rs")),
    (ENGINES, include_str!("guide/jetstream_axum.rs")),
    (TESTING, include_str!("guide/testing_axum.rs")),
    (TESTING, include_str!("guide/testing_actix.rs")),
    (TESTING, include_str!("guide/mock_keys.rs")),
    (TESTING, include_str!("guide/mock_google.rs")),
    (ROTATING, include_str!("guide/rotating_process.rs")),
    (ROTATING, include_str!("guide/rotating_file.rs")),
    (ROTATING, include_str!("guide/rotating_manager.rs")),
    (ROTATING, include_str!("guide/rotating_tokens.rs")),
    (RECIPES, include_str!("recipes/axum_both_kinds.rs")),
    (RECIPES, include_str!("recipes/axum_by_type.rs")),
    (RECIPES, include_str!("recipes/axum_by_type_inside.rs")),
    (RECIPES, include_str!("recipes/axum_refusals.rs")),
    (RECIPES, include_str!("recipes/axum_inside.rs")),
    (RECIPES, include_str!("recipes/axum_service_builder.rs")),
    (RECIPES, include_str!("recipes/axum_long_bodies.rs")),
    (RECIPES, include_str!("recipes/axum_two_routes.rs")),
    (RECIPES, include_str!("recipes/axum_trace.rs")),
    (RECIPES, include_str!("recipes/actix_long_bodies.rs")),
    (RECIPES, include_str!("recipes/actix_two_routes.rs")),
    (RECIPES, include_str!("recipes/actix_by_type.rs")),
    (RECIPES, include_str!("recipes/actix_logger.rs")),
    (REGISTERING, include_str!("registering/ensure.rs")),
    (REGISTERING, include_str!("registering/check.rs")),
    (REGISTERING, include_str!("registering/move_to.rs")),
    (REGISTERING, include_str!("registering/at_hand.rs")),
    (REGISTERING, include_str!("registering/rotate.rs")),
    (REGISTERING, include_str!("registering/job.rs")),
    (REGISTERING, include_str!("registering/genai_rs.rs")),
    (REGISTERING, include_str!("registering/gemini_rust.rs")),
    (REGISTERING, include_str!("registering/body.rs")),
    (REGISTERING, include_str!("registering/errors.rs")),
    (REGISTERING, include_str!("registering/settings.rs")),
];

const START: &str = "docs/getting-started.md";
const DYNAMIC: &str = "docs/dynamic-webhooks.md";
const ONCE: &str = "docs/each-event-once.md";
const INBOX: &str = "docs/answering-at-once.md";
const ENGINES: &str = "docs/other-engines.md";
const TESTING: &str = "docs/testing.md";
const ROTATING: &str = "docs/rotating-secrets.md";
const RECIPES: &str = "docs/recipes.md";
const REGISTERING: &str = "docs/registering-a-webhook.md";

/// The README and the pages of the guide, by their paths in the repository.
pub(crate) fn all() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    for page in fs::read_dir(root().join("docs")).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            pages.push(format!("docs/{name}"));
        }
    }
    pages
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What fits into a page without scrolling.
const WIDEST: usize = 80;

/// What makes an app of an example, or calls Google.
const MAKES_AN_APP: [&str; 9] = [
    "App::new",
    "Router::new",
    "VerifyLayer::new",
    "VerifyWebhook::new",
    "WebhookConfig",
    "WebhookService",
    "WebhookSpec::new",
    "web::resource",
    "web::scope",
];

/// The fenced blocks of a page that are Rust, as rustdoc sees it: what the fence says, and the text.
fn rust_blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(says) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|line| line.trim() != "```");
        let text: String = inside.flat_map(|line| [line, "\n"]).collect();
        if says.is_empty() || says.starts_with("rust") {
            blocks.push((says, text));
        }
    }
    blocks
}

/// What is wrong with a page: examples of apps that are not run, and what is run without being there.
fn faults(page: &str, examples: &[&str]) -> Vec<String> {
    let blocks = rust_blocks(page);
    let unrun = blocks.iter().filter_map(|(says, text)| {
        let app = MAKES_AN_APP.iter().any(|makes| text.contains(makes));
        // As a documentation test a program that serves would never end.
        let serves = ["axum::serve(", "HttpServer::new("];
        let serves = serves.iter().any(|serves| text.contains(serves));
        let fence = if serves { "rust,no_run" } else { "rust" };
        let run = *says == fence && examples.contains(&text.as_str());
        // The inbox's own tests run it, and hold the guide against what they run.
        let is_of_inbox = *says == "rust,ignore" && text.contains("use gemini_webhooks_inbox");
        (app && !run && !is_of_inbox).then(|| format!("not run, as ```{says}:\n{text}"))
    });
    let wide = blocks.iter().flat_map(|(_, text)| text.lines());
    let wide = wide
        .filter(|line| line.chars().count() > WIDEST)
        .map(|line| format!("wider than {WIDEST}: {line}"));
    let missing = examples
        .iter()
        .filter(|example| blocks.iter().filter(|(_, text)| text == *example).count() != 1)
        .map(|example| format!("not on the page once:\n{example}"));
    unrun.chain(wide).chain(missing).collect()
}

#[test]
fn every_example_of_an_app_is_run() {
    let pages = all();
    for (page, _) in EXAMPLES {
        assert!(pages.iter().any(|known| known == page), "no page {page}");
    }
    for page in pages {
        let text = read(&page);
        let of_page = EXAMPLES.iter().filter(|(of, _)| *of == page);
        let examples: Vec<&str> = of_page.map(|(_, example)| *example).collect();
        let faults = faults(&text, &examples);
        assert!(
            faults.is_empty(),
            "{page}: add a file to tests/documented, or make it equal:\n{}",
            faults.join("\n")
        );
    }
}

#[test]
fn an_example_that_is_not_run_is_found() {
    let (app, other) = ("let app = Router::new();\n", "let secret = \"\";\n");
    let serves = "axum::serve(listener, Router::new());\n";
    let of_inbox = format!("use gemini_webhooks_inbox::Inbox;\n{app}");
    let page = |says: &str, block: &str| format!("text\n```{says}\n{block}```\nmore text\n");
    for (case, text, examples, expected) in [
        ("run", page("rust", app), vec![app], 0),
        ("makes no app", page("rust", other), vec![], 0),
        ("another language", page("toml", app), vec![], 0),
        ("not run", page("rust", app), vec![], 1),
        ("excused", page("rust,no_run", app), vec![app], 1),
        ("serves", page("rust,no_run", serves), vec![serves], 0),
        (
            "serves and is not run",
            page("rust,no_run", serves),
            vec![],
            1,
        ),
        ("serves in the test", page("rust", serves), vec![serves], 1),
        ("rustdoc's default", page("", app), vec![], 1),
        ("the inbox's", page("rust,ignore", &of_inbox), vec![], 0),
        (
            "the inbox's, as rustdoc runs it",
            page("rust", &of_inbox),
            vec![],
            1,
        ),
        (
            "in a list",
            page("rust", app).replace("```", "  ```"),
            vec![],
            1,
        ),
        ("changed", page("rust", "Router::new()\n"), vec![app], 2),
        ("gone", page("rust", other), vec![app], 1),
        ("twice", page("rust", app).repeat(2), vec![app], 1),
        ("text after a block", page("text", "") + app, vec![], 0),
        (
            "too wide",
            page("rust", &format!("{}\n", "/".repeat(81))),
            vec![],
            1,
        ),
    ] {
        let found = faults(&text, &examples);
        assert_eq!(found.len(), expected, "{case}: {found:?}");
    }
    for makes in MAKES_AN_APP {
        let block = format!("{makes}(receiver);\n");
        assert_eq!(faults(&page("rust", &block), &[]).len(), 1, "{makes}");
    }
}
