//! `completions` and `man`: what a shell and `man` need to know of the program.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit::{Exit, Failure};
use crate::shown;

const COMPLETIONS: &str = "\
Examples:
  mkdir -p ~/.local/share/bash-completion/completions
  gemini-webhooks completions bash > ~/.local/share/bash-completion/completions/gemini-webhooks
  gemini-webhooks completions zsh > ~/.zfunc/_gemini-webhooks
  gemini-webhooks completions fish > ~/.config/fish/completions/gemini-webhooks.fish";

const MAN: &str = "\
Examples:
  gemini-webhooks man > gemini-webhooks.1
  gemini-webhooks man --to ~/.local/share/man/man1";

/// Write the completions for a shell to standard output.
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Write the manual page to standard output, or one page for each command into a folder.
#[derive(Debug, Args)]
#[command(after_help = MAN)]
pub(crate) struct ManPages {
    /// A folder for the pages of all commands. It is made if it is missing.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

pub(crate) fn completions(
    completions: &Completions,
    mut program: Command,
) -> Result<Exit, Failure> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut program, name, &mut script);
    if completions.shell == Shell::Bash {
        script = with_matching_names(script)?;
    }
    shown::raw(&script)?;
    Ok(Exit::Done)
}

/// clap_complete 4.6 writes the program's name in two ways if it has a hyphen (clap-rs/clap #6421): the loop that finds
/// the command sets one, and the options and values stand under the other. So bash would complete names of commands only.
fn with_matching_names(script: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let script = String::from_utf8(script)
        .map_err(|error| Failure::new(format!("the script is no text in UTF-8: {error}")))?;
    let script = script.replace("gemini__subcmd__webhooks", "gemini__webhooks");
    Ok(script.into_bytes())
}

pub(crate) fn man(pages: &ManPages, program: Command) -> Result<Exit, Failure> {
    let Some(folder) = &pages.to else {
        shown::raw(&page(program)?)?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(folder).map_err(|error| cannot_write(folder, &error))?;
    let mut program = program;
    // Names the pages of subcommands after their parents.
    program.build();
    write_pages(&program, program.get_name(), folder)?;
    Ok(Exit::Done)
}

fn write_pages(command: &Command, name: &str, folder: &Path) -> Result<(), Failure> {
    let path = folder.join(format!("{name}.1"));
    // `Man` wants a name that lives as long as the program.
    let titled = command
        .clone()
        .name(clap::builder::Str::from(name.to_owned()));
    fs::write(&path, page(titled)?).map_err(|error| cannot_write(&path, &error))?;
    shown::line(shown::plain(path.display()))?;
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        if inner.get_name() != "help" {
            write_pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
        }
    }
    Ok(())
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(format!("the manual page cannot be written: {error}")))?;
    Ok(page)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!(
        "cannot write {}: {error}",
        shown::plain(path.display())
    ))
}
