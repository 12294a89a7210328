//! The ways to write one JSON document.

use serde_json::value::RawValue;

use super::written::{Node, Reader};

/// Larger documents are tried in fewer ways.
const MAX_BYTES: usize = 64 * 1024;

/// The members of larger documents are not put into other orders: Google's events take a few hundred bytes.
const MAX_REORDERED: usize = 8 * 1024;

/// How many orders of members are tried at most.
const MAX_ORDERS: usize = 1500;

/// More members than this have too many orders.
const MAX_MEMBERS: usize = 6;

/// The members of an event, in the order of Google's guide.
const ENVELOPE: [&str; 5] = ["type", "version", "timestamp", "data", "user_metadata"];

/// A JSON document whose numbers and texts are kept as they are written.
#[derive(Clone, Debug)]
pub(super) struct Document {
    root: Node,
    /// White space at its end.
    tail: String,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    Compact,
    Spaced,
    Indented(&'static str),
}

impl Layout {
    const ALL: [Self; 5] = [
        Self::Compact,
        Self::Spaced,
        Self::Indented("  "),
        Self::Indented("    "),
        Self::Indented("\t"),
    ];

    fn named(self) -> &'static str {
        match self {
            Self::Compact => "compact, without spaces",
            Self::Spaced => "with a space after each `,` and `:`",
            Self::Indented("\t") => "indented by tabs",
            Self::Indented("  ") => "indented by 2 spaces",
            Self::Indented(_) => "indented by 4 spaces",
        }
    }
}

/// How texts are written.
#[derive(Clone, Copy, Debug)]
struct Texts {
    /// Characters beyond ASCII as `\u…`, and whether in capitals.
    ascii: Option<bool>,
    /// `/` as `\/`.
    slashes: bool,
    /// `<`, `>` and `&` as `\u…`.
    html: bool,
    /// As they arrived, whatever that is.
    kept: bool,
}

impl Texts {
    const fn new(ascii: Option<bool>, slashes: bool, html: bool) -> Self {
        Self {
            ascii,
            slashes,
            html,
            kept: false,
        }
    }

    const KEPT: Self = Self {
        ascii: None,
        slashes: false,
        html: false,
        kept: true,
    };

    const ALL: [Self; 9] = [
        Self::KEPT,
        Self::new(None, false, false),
        Self::new(Some(false), false, false),
        Self::new(Some(true), false, false),
        Self::new(None, true, false),
        Self::new(Some(false), true, false),
        Self::new(None, false, true),
        Self::new(Some(false), false, true),
        Self::new(Some(false), true, true),
    ];

    fn named(self) -> Vec<&'static str> {
        let mut named = Vec::new();
        match self.ascii {
            _ if self.kept => {}
            None => named.push("characters beyond ASCII as they are"),
            Some(false) => named.push(r"characters beyond ASCII as `\u…`"),
            Some(true) => named.push(r"characters beyond ASCII as `\U…` in capital digits"),
        }
        if self.slashes {
            named.push(r"`/` as `\/`");
        }
        if self.html {
            named.push(r"`<`, `>` and `&` as `\u003c`, `\u003e` and `\u0026`");
        }
        named
    }
}

impl Document {
    /// Reads an object or a list; `None` for anything else, and for what is too deep or too long.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        if text.len() > MAX_BYTES {
            return None;
        }
        let valid: &RawValue = serde_json::from_slice(text).ok()?;
        let root = Reader(valid.get().as_bytes()).node(0)?;
        let tail = text.get(text.trim_ascii_end().len()..)?;
        let tail = str::from_utf8(tail).ok()?.to_owned();
        matches!(root, Node::Object(_) | Node::Array(_)).then_some(Self {
            root,
            tail,
            bytes: text.len(),
        })
    }

    /// Calls `try_it` with each way to write the document, and with what describes it, until it returns true.
    pub(super) fn each_form(&self, mut try_it: impl FnMut(&[u8], &dyn Fn() -> String) -> bool) {
        let mut sorted = self.root.clone();
        sorted.sort();
        for (order, named) in [(&self.root, None), (&sorted, Some("with its keys sorted"))] {
            for texts in Texts::ALL {
                for layout in Layout::ALL {
                    if self.fits(
                        order,
                        layout,
                        texts,
                        &|| named.map(str::to_owned),
                        &mut try_it,
                    ) {
                        return;
                    }
                }
            }
        }
        if self.bytes > MAX_REORDERED {
            return;
        }
        // The order in which the sender wrote the members is not in what arrived.
        self.root.each_order(|order| {
            let named = || Some(order.member_names());
            [Layout::Compact, Layout::Spaced]
                .into_iter()
                .any(|layout| self.fits(order, layout, Texts::KEPT, &named, &mut try_it))
        });
    }

    fn fits(
        &self,
        order: &Node,
        layout: Layout,
        texts: Texts,
        order_named: &dyn Fn() -> Option<String>,
        try_it: &mut impl FnMut(&[u8], &dyn Fn() -> String) -> bool,
    ) -> bool {
        let mut written = String::new();
        order.write(layout, texts, 0, &mut written);
        let described = || {
            let mut how = vec![layout.named().to_owned()];
            how.extend(order_named());
            how.extend(texts.named().into_iter().map(str::to_owned));
            format!(
                "read the JSON and wrote it anew (what was signed is {})",
                how.join(", ")
            )
        };
        written.push_str(&self.tail);
        try_it(written.as_bytes(), &described)
    }
}

impl Node {
    fn sort(&mut self) {
        match self {
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, node)| node.sort());
                members.sort_by_key(|(one, _)| decoded(one));
            }
            Self::Array(nodes) => nodes.iter_mut().for_each(Self::sort),
            Self::Text(_) | Self::Word(_) => {}
        }
    }

    /// Calls `with` with the document for each order of its members and of those of its member `data`, until it returns
    /// true. The order of Google's guide comes first.
    fn each_order(&self, mut with: impl FnMut(&Self) -> bool) {
        let Self::Object(members) = self else { return };
        let rank = |at: &usize| {
            let name = members.get(*at).map(|(name, _)| decoded(name));
            let known = name.and_then(|name| ENVELOPE.iter().position(|known| *known == name));
            known.unwrap_or(ENVELOPE.len())
        };
        let mut usual: Vec<usize> = (0..members.len()).collect();
        usual.sort_by_key(rank);
        let mut left = MAX_ORDERS;
        for order in permutations(&usual) {
            let mut document: Vec<_> = order
                .iter()
                .filter_map(|&at| members.get(at).cloned())
                .collect();
            let data = document.iter().position(|(name, _)| name == "\"data\"");
            let inner = match data.and_then(|at| document.get(at)) {
                Some((_, Self::Object(inner))) => inner.clone(),
                _ => Vec::new(),
            };
            let places: Vec<usize> = (0..inner.len()).collect();
            for order in permutations(&places) {
                if left == 0 {
                    return;
                }
                left -= 1;
                if let Some((_, node @ Self::Object(_))) = data.and_then(|at| document.get_mut(at))
                {
                    let reordered = order.iter().filter_map(|&at| inner.get(at).cloned());
                    *node = Self::Object(reordered.collect());
                }
                if with(&Self::Object(document.clone())) {
                    return;
                }
            }
        }
    }

    /// `in the order type, version, data (id, error_code)`.
    fn member_names(&self) -> String {
        let Self::Object(members) = self else {
            return String::new();
        };
        let names: Vec<String> = members
            .iter()
            .map(|(name, node)| match node {
                Self::Object(inner) if name == "\"data\"" => {
                    let inner: Vec<_> = inner.iter().map(|(name, _)| decoded(name)).collect();
                    format!("data ({})", inner.join(", "))
                }
                _ => decoded(name),
            })
            .collect();
        format!("with its members in the order {}", names.join(", "))
    }

    fn write(&self, layout: Layout, texts: Texts, depth: usize, out: &mut String) {
        let (comma, colon) = match layout {
            Layout::Compact => (",", ":"),
            Layout::Spaced => (", ", ": "),
            Layout::Indented(_) => (",", ": "),
        };
        let line = |depth: usize, out: &mut String| {
            if let Layout::Indented(by) = layout {
                out.push('\n');
                out.push_str(&by.repeat(depth));
            }
        };
        let separate = |index: usize, out: &mut String| {
            if index > 0 {
                out.push_str(comma);
            }
            line(depth + 1, out);
        };
        match self {
            Self::Object(members) => {
                out.push('{');
                for (index, (name, node)) in members.iter().enumerate() {
                    separate(index, out);
                    write_text(name, texts, out);
                    out.push_str(colon);
                    node.write(layout, texts, depth + 1, out);
                }
                if !members.is_empty() {
                    line(depth, out);
                }
                out.push('}');
            }
            Self::Array(nodes) => {
                out.push('[');
                for (index, node) in nodes.iter().enumerate() {
                    separate(index, out);
                    node.write(layout, texts, depth + 1, out);
                }
                if !nodes.is_empty() {
                    line(depth, out);
                }
                out.push(']');
            }
            Self::Text(text) => write_text(text, texts, out),
            Self::Word(word) => out.push_str(word),
        }
    }
}

/// All orders of these, the one given first; only that one if there would be too many.
fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    if items.len() > MAX_MEMBERS {
        return vec![items.to_vec()];
    }
    let Some(last) = items.len().checked_sub(1) else {
        return vec![Vec::new()];
    };
    let mut all = Vec::new();
    for first in 0..=last {
        let mut rest = items.to_vec();
        let item = rest.remove(first);
        for mut order in permutations(&rest) {
            order.insert(0, item);
            all.push(order);
        }
    }
    all
}

/// The text that a JSON string stands for.
fn decoded(text: &str) -> String {
    serde_json::from_str(text).unwrap_or_else(|_| text.to_owned())
}

fn write_text(text: &str, texts: Texts, out: &mut String) {
    use std::fmt::Write as _;

    if texts.kept {
        out.push_str(text);
        return;
    }
    // A lone surrogate has no text: it stays as it is.
    let Ok(plain) = serde_json::from_str::<String>(text) else {
        out.push_str(text);
        return;
    };
    out.push('"');
    for char in plain.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '/' if texts.slashes => out.push_str("\\/"),
            '<' | '>' | '&' if texts.html => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char if u32::from(char) < 0x20 || !char.is_ascii() && texts.ascii.is_some() => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = match texts.ascii {
                        Some(true) => write!(out, "\\u{unit:04X}"),
                        _ => write!(out, "\\u{unit:04x}"),
                    };
                }
            }
            char => out.push(char),
        }
    }
    out.push('"');
}
