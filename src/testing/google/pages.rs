//! Lists, a page at a time.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fields::{Object, only, parameter, set};
use super::refusal::{Answered, Refusal};

const DEFAULT_SIZE: usize = 50;
const MAX_SIZE: usize = 1000;

/// Tokens are raw text with control characters and line breaks (observed live). The rest of these
/// is what a client that does not encode byte for byte stumbles over.
const BEFORE: &str = "\u{8}\u{12}$\n\u{1}+ &=#";
const AFTER: &str = "\r\n%2F;\u{1a}\u{7f}\t";

/// What a list is called and asked for by: webhooks in snake case, batches in camel case.
pub(super) struct Names {
    pub(super) items: &'static str,
    pub(super) next: &'static str,
    pub(super) size: &'static str,
    pub(super) token: &'static str,
}

/// The page that `query` asks for, of those that `json` shows; either member is absent where it would
/// be empty. By their ids, which tell nothing of their age: whoever wants the oldest has to look.
pub(super) fn page<T>(
    items: &BTreeMap<String, T>,
    json: impl Fn(&str, &T) -> Option<Value>,
    query: &[(String, String)],
    names: &Names,
) -> Answered {
    only(
        query.iter().map(|(name, _)| name),
        &[names.size, names.token],
    )?;
    let wanted = match parameter(query, names.size)? {
        None => DEFAULT_SIZE,
        Some(text) => match text.parse() {
            Ok(0) => DEFAULT_SIZE,
            Ok(wanted) if wanted <= MAX_SIZE => wanted,
            _ => {
                return Err(Refusal::invalid(format!(
                    "{} must be a number from 0 to {MAX_SIZE}.",
                    names.size
                )));
            }
        },
    };
    let after = match parameter(query, names.token)? {
        None | Some("") => None,
        Some(text) => Some(
            text.strip_prefix(BEFORE)
                .and_then(|text| text.strip_suffix(AFTER))
                .ok_or_else(|| Refusal::invalid(format!("Invalid {}.", names.token)))?,
        ),
    };
    let rest = items
        .iter()
        .filter(|(id, _)| after.is_none_or(|after| id.as_str() > after));
    let mut rest = rest.filter_map(|(id, item)| Some((id, json(id, item)?)));
    let (ids, page): (Vec<_>, Vec<_>) = rest.by_ref().take(wanted).unzip();
    let mut listing = Value::Object(Object::new());
    if let (Some(last), Some(_)) = (ids.last(), rest.next()) {
        set(&mut listing, names.next, format!("{BEFORE}{last}{AFTER}"));
    }
    if !page.is_empty() {
        set(&mut listing, names.items, page);
    }
    Ok(listing)
}
