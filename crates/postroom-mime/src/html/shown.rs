//! The text of html as it is shown: blanks joined, blocks in lines of their own.

/// How many bytes the longest of the names below has.
const NAME_BYTES_MAX: usize = 10;
/// Text that is being put together.
#[derive(Default)]
pub(crate) struct ShownText {
    text: String,
    /// How many open elements hide what is in them.
    hidden: usize,
    /// How many open elements keep blanks.
    preformatted: usize,
    /// Whether a blank stands before the next word.
    is_blank: bool,
}

/// What an element means for the text.
#[derive(PartialEq, Eq)]
enum Element {
    /// Its content is not shown.
    Hidden,
    /// What is shown begins.
    Body,
    /// It ends a line.
    Break,
    /// It begins a line of its own. `true` if blanks stay in it.
    Block(bool),
    /// Nothing.
    Other,
}

impl ShownText {
    /// How much text there is.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Takes a start tag.
    pub(crate) fn open(&mut self, name: &str) {
        match element(name) {
            Element::Hidden => self.hidden += 1,
            Element::Body => {
                self.hidden = 0;
                self.line();
            }
            Element::Break => {
                self.is_blank = false;
                // One empty line at most.
                if !self.text.is_empty() && !self.text.ends_with("\n\n") {
                    self.text.push('\n');
                }
            }
            Element::Block(keeps) => {
                self.preformatted += usize::from(keeps);
                self.line();
            }
            Element::Other => {}
        }
    }

    /// Takes an end tag.
    pub(crate) fn close(&mut self, name: &str) {
        match element(name) {
            Element::Hidden => self.hidden = self.hidden.saturating_sub(1),
            Element::Block(keeps) => {
                self.preformatted = self.preformatted.saturating_sub(usize::from(keeps));
                self.line();
            }
            Element::Body => self.line(),
            Element::Break | Element::Other => {}
        }
    }

    /// Takes text.
    pub(crate) fn text(&mut self, text: &str) {
        if self.hidden > 0 {
            return;
        }
        if self.preformatted > 0 {
            self.blank();
            for piece in text.split_inclusive('\n') {
                let line = piece.strip_suffix('\n').map(|line| line.trim_end_matches('\r'));
                self.text.push_str(line.unwrap_or(piece));
                if line.is_some() {
                    self.text.push('\n');
                }
            }
            return;
        }
        self.is_blank |= text.starts_with(is_blank);
        for word in text.split(is_blank).filter(|word| !word.is_empty()) {
            self.blank();
            self.text.push_str(word);
            self.is_blank = true;
        }
        if !text.is_empty() {
            self.is_blank = text.ends_with(is_blank);
        }
    }

    /// Writes the blank before a word, unless a line begins there.
    fn blank(&mut self) {
        if std::mem::take(&mut self.is_blank) && !self.text.is_empty() && !self.text.ends_with('\n')
        {
            self.text.push(' ');
        }
    }

    /// Ends the line that is open.
    fn line(&mut self) {
        self.is_blank = false;
        if self.hidden == 0 && !self.text.is_empty() && !self.text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

fn is_blank(char: char) -> bool {
    matches!(char, ' ' | '\t' | '\n' | '\r' | '\u{C}')
}

fn element(name: &str) -> Element {
    let mut lower = [0; NAME_BYTES_MAX];
    let Some(lower) = lower.get_mut(..name.len()) else {
        return Element::Other;
    };
    lower.copy_from_slice(name.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"template" => Element::Hidden,
        b"body" => Element::Body,
        b"br" => Element::Break,
        b"pre" | b"listing" | b"plaintext" | b"xmp" | b"textarea" => Element::Block(true),
        // What browsers show as blocks, tables and lists.
        b"address" | b"article" | b"aside" | b"blockquote" | b"caption" | b"center" | b"dd"
        | b"details" | b"dialog" | b"dir" | b"div" | b"dl" | b"dt" | b"fieldset"
        | b"figcaption" | b"figure" | b"footer" | b"form" | b"frameset" | b"h1" | b"h2" | b"h3"
        | b"h4" | b"h5" | b"h6" | b"header" | b"hgroup" | b"hr" | b"html" | b"legend" | b"li"
        | b"main" | b"menu" | b"nav" | b"ol" | b"optgroup" | b"option" | b"p" | b"search"
        | b"section" | b"summary" | b"table" | b"tbody" | b"td" | b"tfoot" | b"th" | b"thead"
        | b"tr" | b"ul" => Element::Block(false),
        _ => Element::Other,
    }
}
