//! Every relative link in the README and the guide leads to a page and to a heading of it, on GitHub, in
//! the package and in rustdoc.
//!
//! A page of the guide names another by its file, `[text][file.md#heading]`, and defines that at its end
//! for GitHub. rustdoc takes the first of two definitions, and `src/guide/links.md`, which comes
//! first there, leads to the module; rustdoc itself checks those.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::pages;

/// A page without its code.
fn prose(page: &str) -> String {
    let mut in_code = false;
    let mut text = String::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The headings' names in a URL, as GitHub and rustdoc make them alike.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings = page.lines().filter_map(|line| {
        let text = line.trim_start_matches('#');
        (text.len() < line.len()).then(|| text.strip_prefix(' '))?
    });
    headings
        .map(|heading| {
            let kept = heading.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                '-' | '_' => Some(letter),
                _ => letter
                    .is_alphanumeric()
                    .then(|| letter.to_ascii_lowercase()),
            });
            let name: String = kept.collect();
            let before = seen.entry(name.clone()).or_default();
            *before += 1;
            match *before {
                1 => name,
                times => format!("{name}-{}", times - 1),
            }
        })
        .collect()
}

/// Where the links of a page lead: in brackets behind their text, or defined at its end.
fn targets(prose: &str) -> Vec<&str> {
    let inline = prose.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        Some(target)
    });
    inline.chain(definitions(prose).map(|(_, to)| to)).collect()
}

/// `[label]: target`.
fn definitions(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some((label, target))
    })
}

/// The labels that are used: `[text][label]`.
fn labels(prose: &str) -> Vec<&str> {
    let behind = prose.split("][").skip(1);
    behind
        .filter_map(|rest| Some(rest.split_once(']')?.0))
        .collect()
}

fn is_elsewhere(target: &str) -> bool {
    target.starts_with("https://")
}

/// What is wrong with a link, if anything.
fn fault(page: &str, target: &str) -> Option<String> {
    let (file, heading) = match target.split_once('#') {
        Some((file, heading)) => (file, Some(heading)),
        None => (target, None),
    };
    let path = match file {
        "" => page.to_owned(),
        file if page.starts_with("docs/") => format!("docs/{file}"),
        file => file.to_owned(),
    };
    if path.contains("..") {
        return Some(format!(
            "{page}: rustdoc has nothing outside of docs/: {path}"
        ));
    }
    if !pages::root().join(&path).is_file() {
        return Some(format!("{page}: there is no {path}"));
    }
    if !is_packaged(&path) {
        return Some(format!("{page}: the package has no {path}"));
    }
    let heading = heading?;
    let found = anchors(&prose(&pages::read(&path))).contains(heading);
    (!found).then(|| format!("{page}: {path} has no heading #{heading}"))
}

/// By `include` of Cargo.toml: folders, files, and files by their beginning or end.
fn is_packaged(path: &str) -> bool {
    let manifest = pages::read("Cargo.toml");
    // On one line, or, as cargo writes it into a package, on several.
    let (_, include) = manifest.split_once("\ninclude = [").unwrap();
    let (include, _) = include.split_once(']').unwrap();
    let mut patterns = include.split('"').skip(1).step_by(2);
    patterns.any(|pattern| {
        let (before, after) = pattern[1..].split_once('*').unwrap_or((&pattern[1..], ""));
        match after.strip_prefix('*') {
            Some(_) => path.starts_with(before),
            None if pattern.contains('*') => {
                path.starts_with(before) && path.ends_with(after) && !path.contains('/')
            }
            None => path == before,
        }
    })
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for page in pages::all() {
        let text = prose(&pages::read(&page));
        let relative = targets(&text).into_iter().filter(|to| !is_elsewhere(to));
        faults.extend(relative.filter_map(|to| fault(&page, to)));
        let defined: BTreeMap<&str, &str> = definitions(&text).collect();
        let used: BTreeSet<&str> = labels(&text).into_iter().collect();
        let undefined = used.iter().filter(|label| !defined.contains_key(*label));
        faults.extend(undefined.map(|label| format!("{page}: [{label}] is not defined")));
        let unused = defined.keys().filter(|label| !used.contains(*label));
        faults.extend(unused.map(|label| format!("{page}: [{label}] is not used")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// rustdoc has no files beside its pages, so a link to one must be led to the module.
#[test]
fn links_lead_to_the_modules_in_rustdoc() {
    let links = pages::read("src/guide/links.md");
    let modules: BTreeMap<&str, &str> = definitions(&links).collect();
    let pictures = pages::read("src/guide/pictures.md");
    let pictures: BTreeMap<&str, &str> = definitions(&pictures).collect();
    let guide = pages::read("src/guide.rs");
    for page in pages::all().iter().filter(|page| page.starts_with("docs/")) {
        let included = format!("include_str!(\"../{page}\")");
        assert!(
            guide.contains(&included),
            "src/guide.rs does not have {page}"
        );
        let text = prose(&pages::read(page));
        for target in targets(&text) {
            if is_elsewhere(target) || target.starts_with('#') {
                continue;
            }
            let defined = definitions(&text).find(|(_, to)| *to == target);
            let label = defined.map(|(label, _)| label);
            assert_eq!(label, Some(target), "{page}: write [text][{target}]");
            if target.ends_with(".svg") {
                assert!(
                    pictures.contains_key(target),
                    "run scripts/pictures: {target}"
                );
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let module = match file.trim_end_matches(".md") {
                "README" => "crate::guide".to_owned(),
                name => format!("crate::guide::{}", name.replace('-', "_")),
            };
            let hash = if heading.is_empty() { "" } else { "#" };
            let expected = format!("{module}{hash}{heading}");
            assert_eq!(
                modules.get(target),
                Some(&expected.as_str()),
                "{page}: src/guide/links.md must say where [{target}] leads"
            );
        }
    }
}

#[test]
fn pictures_are_those_of_the_pages() {
    for (name, data) in definitions(&pages::read("src/guide/pictures.md")) {
        let data = data.strip_prefix("data:image/svg+xml;base64,").unwrap();
        let shown = STANDARD.decode(data).unwrap();
        let drawn = pages::read(&format!("docs/{name}"));
        assert!(shown == drawn.as_bytes(), "run scripts/pictures: {name}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = "docs/recipes.md";
    for (target, wrong) in [
        ("recipes.md", false),
        ("#recipes", false),
        ("recipes.md#choose-a-handler-by-the-type-of-event-1", false),
        ("way-of-a-delivery.svg", false),
        ("nowhere.md", true),
        ("#nowhere", true),
        ("recipes.md#nowhere", true),
        ("recipes.md#choose-a-handler-by-the-type-of-event-2", true),
        ("../scripts/test", true),
    ] {
        assert_eq!(fault(page, target).is_some(), wrong, "{target}");
    }
    assert!(fault("README.md", "docs/recipes.md").is_none());
    assert!(fault("README.md", "recipes.md").is_some());
    assert!(fault("README.md", "clippy.toml").is_some(), "not packaged");
}
