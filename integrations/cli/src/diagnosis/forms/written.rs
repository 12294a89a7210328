//! Reads JSON as it is written.

/// Deeper documents are not written anew.
const MAX_DEPTH: usize = 32;

/// A part of a document, whose numbers and texts are kept as they are written.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    /// With its quotes and escapes.
    Text(String),
    /// A number, `true`, `false` or `null`.
    Word(String),
}

/// Reads JSON that is known to be valid.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn node(&mut self, depth: usize) -> Option<Node> {
        self.skip_space();
        match self.0.first()? {
            b'{' | b'[' if depth == MAX_DEPTH => None,
            b'{' => {
                self.take(1)?;
                let mut members = Vec::new();
                while self.goes_on(b'}')? {
                    let name = self.text()?;
                    self.skip_space();
                    self.take(1)?;
                    members.push((name, self.node(depth + 1)?));
                }
                Some(Node::Object(members))
            }
            b'[' => {
                self.take(1)?;
                let mut nodes = Vec::new();
                while self.goes_on(b']')? {
                    nodes.push(self.node(depth + 1)?);
                }
                Some(Node::Array(nodes))
            }
            b'"' => self.text().map(Node::Text),
            _ => {
                let ends =
                    |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
                let length = self.0.iter().position(ends).unwrap_or(self.0.len());
                self.take(length).map(Node::Word)
            }
        }
    }

    /// Whether another member follows; else the closing bracket is taken.
    fn goes_on(&mut self, closing: u8) -> Option<bool> {
        self.skip_space();
        match *self.0.first()? {
            byte if byte == closing => {
                self.take(1)?;
                Some(false)
            }
            b',' => {
                self.take(1)?;
                self.skip_space();
                Some(true)
            }
            _ => Some(true),
        }
    }

    fn text(&mut self) -> Option<String> {
        let mut escaped = false;
        let end = self.0.iter().skip(1).position(|&byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        })?;
        self.take(end + 2)
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    fn take(&mut self, length: usize) -> Option<String> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        str::from_utf8(taken).ok().map(str::to_owned)
    }
}
