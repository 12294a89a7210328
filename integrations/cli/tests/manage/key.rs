//! Where the API key comes from, and where the API is.

use super::Rig;
use crate::run::run;

#[tokio::test(flavor = "multi_thread")]
async fn the_key_comes_from_a_file_or_a_variable_and_is_told_if_it_is_wrong() {
    let rig = Rig::start().await;
    std::fs::write(rig.folder.path().join("key"), "mock-api-key\n").unwrap();
    let with = |variables: &[(&str, &str)], arguments: &[&str], input: &[u8]| {
        let mut command = rig.command(&[&["list"], arguments].concat());
        command
            .env_remove("GEMINI_API_KEY")
            .envs(variables.iter().copied());
        run(command, input)
    };
    const GOOGLE: &str = "GOOGLE_API_KEY";
    const GEMINI: &str = "GEMINI_API_KEY";
    const GOOD: &str = "mock-api-key";
    for (name, variables, arguments, input, code, part) in [
        (
            "google",
            &[(GOOGLE, GOOD)][..],
            &[][..],
            "",
            0,
            "no webhooks",
        ),
        ("gemini", &[(GEMINI, GOOD)], &[], "", 0, "no webhooks"),
        (
            "google first",
            &[(GOOGLE, GOOD), (GEMINI, "wrong")],
            &[],
            "",
            0,
            "no webhooks",
        ),
        (
            "an empty one is none",
            &[(GOOGLE, " "), (GEMINI, GOOD)],
            &[],
            "",
            0,
            "no webhooks",
        ),
        (
            "a file",
            &[(GOOGLE, "wrong")],
            &["--api-key-file", "key"],
            "",
            0,
            "no webhooks",
        ),
        (
            "standard input",
            &[],
            &["--api-key-file", "-"],
            "mock-api-key\n",
            0,
            "no webhooks",
        ),
        (
            "none",
            &[],
            &[],
            "",
            2,
            "there is no API key: set GOOGLE_API_KEY or GEMINI_API_KEY, or name a file with --api-key-file \
             (`--api-key-file -` asks for it)",
        ),
        (
            "an empty one",
            &[(GEMINI, "")],
            &[],
            "",
            2,
            "there is no API key (GEMINI_API_KEY is set, but empty): set",
        ),
        (
            "two empty ones",
            &[(GEMINI, " "), (GOOGLE, "\t")],
            &[],
            "",
            2,
            "(GOOGLE_API_KEY and GEMINI_API_KEY are set, but empty)",
        ),
        (
            "no place of the API",
            &[(GEMINI, GOOD), ("GEMINI_API_URL", "")],
            &[],
            "",
            2,
            "GEMINI_API_URL is set, but empty",
        ),
        (
            "a wrong place of the API",
            &[(GEMINI, GOOD), ("GEMINI_API_URL", "nowhere")],
            &[],
            "",
            2,
            "GEMINI_API_URL, --api-version: the base URL",
        ),
        (
            "the option before the variable",
            &[(GEMINI, GOOD), ("GEMINI_API_URL", "nowhere")],
            &["--base-url", "http://app.example"],
            "",
            2,
            "--base-url, --api-version: ",
        ),
        (
            "no key",
            &[(GEMINI, "\"hidden-key\"")],
            &[],
            "",
            2,
            "GEMINI_API_KEY: the API key is in quotes",
        ),
        (
            "wrong",
            &[(GEMINI, "hidden-key")],
            &[],
            "",
            1,
            "came from GEMINI_API_KEY",
        ),
        (
            "wrong google",
            &[(GOOGLE, "hidden-key"), (GEMINI, GOOD)],
            &[],
            "",
            1,
            "came from GOOGLE_API_KEY",
        ),
        (
            "wrong input",
            &[],
            &["--api-key-file", "-"],
            "hidden-key",
            1,
            "came from standard input",
        ),
    ] {
        let ended = with(variables, arguments, input.as_bytes());
        assert_eq!(ended.code, Some(code), "{name}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{name}: {}", ended.stderr);
        assert!(
            !ended.stderr.contains("hidden-key"),
            "{name}: {}",
            ended.stderr
        );
    }
}
