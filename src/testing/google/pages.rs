//! Lists, a page at a time.

use std::collections::BTreeMap;

use super::fields::parameter;
use super::refusal::Refusal;

const DEFAULT_SIZE: usize = 50;
const MAX_SIZE: usize = 1000;

/// Tokens are raw text with control characters and line breaks (observed live). The rest of these
/// is what a client that does not encode byte for byte stumbles over.
const BEFORE: &str = "\u{8}\u{12}$\n\u{1}+ &=#";
const AFTER: &str = "\r\n%2F;\u{1a}\u{7f}\t";

/// By their ids, which tell nothing of their age: whoever wants the oldest has to look.
pub(super) fn page<'i, T>(
    items: &'i BTreeMap<String, T>,
    visible: impl Fn(&T) -> bool,
    query: &[(String, String)],
    [size, token]: [&str; 2],
) -> Result<(Vec<(&'i String, &'i T)>, Option<String>), Refusal> {
    if let Some((name, _)) = query
        .iter()
        .find(|(name, _)| ![size, token].contains(&name.as_str()))
    {
        return Err(Refusal::invalid(format!(
            "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter."
        )));
    }
    let wanted = match parameter(query, size)? {
        None => DEFAULT_SIZE,
        Some(text) => match text.parse() {
            Ok(0) => DEFAULT_SIZE,
            Ok(wanted) if wanted <= MAX_SIZE => wanted,
            _ => {
                return Err(Refusal::invalid(format!(
                    "{size} must be a number from 0 to {MAX_SIZE}."
                )));
            }
        },
    };
    let after = match parameter(query, token)? {
        None | Some("") => None,
        Some(text) => Some(
            text.strip_prefix(BEFORE)
                .and_then(|text| text.strip_suffix(AFTER))
                .ok_or_else(|| Refusal::invalid(format!("Invalid {token}.")))?,
        ),
    };
    let mut rest = items
        .iter()
        .filter(|(id, item)| visible(item) && after.is_none_or(|after| id.as_str() > after));
    let page: Vec<_> = rest.by_ref().take(wanted).collect();
    let next = match (rest.next(), page.last()) {
        (Some(_), Some((last, _))) => Some(format!("{BEFORE}{last}{AFTER}")),
        _ => None,
    };
    Ok((page, next))
}
