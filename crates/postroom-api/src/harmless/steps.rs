//! Counts the steps that a parser of html takes, by a pass of the same parser that keeps no tree.
//!
//! By the rules of html, a short text can become very many elements. For example, `<font>` elements
//! with different colours that are never closed are opened again in each of the paragraphs that
//! follow. And each tag in a deep nest is compared with all open elements. In both cases, the
//! parser calls functions of this file, so counting the calls is enough.
//!
//! The writer takes steps too: at each character that it escapes, it looks through the rest of the
//! text or of the attribute, up to the next bracket. And the parser keeps each of its errors.
//!
//! Standards: the WHATWG's HTML §13.2.6.

use html5ever::Attribute;
use html5ever::LocalName;
use html5ever::Namespace;
use html5ever::ParseOpts;
use html5ever::QualName;
use html5ever::interface::ElemName;
use html5ever::interface::ElementFlags;
use html5ever::interface::NodeOrText;
use html5ever::interface::QuirksMode;
use html5ever::interface::TreeSink;
use html5ever::local_name;
use html5ever::ns;
use html5ever::parse_fragment;
use html5ever::tendril::StrTendril;
use html5ever::tendril::TendrilSink;
use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

/// How many elements html may become.
const ELEMENTS_MAX: u64 = 200_000;
/// How many times the parser may look at an open element.
const LOOKS_MAX: u64 = 20_000_000;
/// How many bytes the writer may look at.
const WRITTEN_MAX: u64 = 10_000_000_000;
/// How many errors the parser may find. Each takes some bytes of memory.
const ERRORS_MAX: u64 = 1_000_000;
/// After how many bytes the counts are compared with the limits.
const PIECE_BYTES: usize = 512;

/// Whether a parser takes few steps with this html.
#[must_use]
pub(crate) fn are_few(html: &str) -> bool {
    let counts = Rc::new(Counts::default());
    let context = QualName::new(None, ns!(html), local_name!("div"));
    let sink = Counting { counts: Rc::clone(&counts) };
    let mut parser = parse_fragment(sink, ParseOpts::default(), context, vec![], false);
    let mut rest = html;
    while !rest.is_empty() {
        let (piece, later) =
            rest.split_at_checked(rest.floor_char_boundary(PIECE_BYTES)).unwrap_or((rest, ""));
        parser.process(StrTendril::from(piece));
        if !counts.are_few() {
            return false;
        }
        rest = later;
    }
    parser.finish();
    counts.are_few()
}

#[derive(Default)]
struct Counts {
    elements: Cell<u64>,
    looks: Cell<u64>,
    errors: Cell<u64>,
    written: Cell<u64>,
    /// The characters of the present text that the writer escapes.
    escaped: Cell<u64>,
}

impl Counts {
    fn are_few(&self) -> bool {
        self.elements.get() <= ELEMENTS_MAX
            && self.looks.get() <= LOOKS_MAX
            && self.errors.get() <= ERRORS_MAX
            && self.written.get() <= WRITTEN_MAX
    }

    /// A text goes on with this piece.
    fn text(&self, piece: &str) {
        let (escaped, length) = (self.escaped.get(), piece.len() as u64);
        // From each escaped character before, and from half of those in the piece, to its end.
        let here = piece.bytes().filter(|byte| matches!(byte, b'&' | 0xC2)).count() as u64;
        let looked = (escaped + here / 2).saturating_mul(length);
        self.written.set(self.written.get().saturating_add(looked));
        self.escaped.set(escaped + here);
    }

    /// The text has ended.
    fn text_ends(&self) {
        self.escaped.set(0);
    }
}

/// Takes the elements from the parser, and keeps only their names.
struct Counting {
    counts: Rc<Counts>,
}

/// What the parser holds of a node: its number and its name.
#[derive(Clone)]
struct Node {
    number: u64,
    name: Rc<QualName>,
}

/// The name of a node.
struct NodeName<'a>(&'a QualName);

impl std::fmt::Debug for NodeName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ElemName for NodeName<'_> {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl Counting {
    fn node(&self, name: QualName) -> Node {
        let number = self.counts.elements.get() + 1;
        self.counts.elements.set(number);
        Node { number, name: Rc::new(name) }
    }

    fn unnamed(&self) -> Node {
        self.node(QualName::new(None, ns!(), local_name!("")))
    }

    fn look(&self) {
        self.counts.looks.set(self.counts.looks.get() + 1);
    }
}

impl TreeSink for Counting {
    type Handle = Node;
    type Output = ();
    type ElemName<'a> = NodeName<'a>;

    fn finish(self) {}

    fn parse_error(&self, _: Cow<'static, str>) {
        self.counts.errors.set(self.counts.errors.get() + 1);
    }

    fn get_document(&self) -> Node {
        Node { number: 0, name: Rc::new(QualName::new(None, ns!(), local_name!(""))) }
    }

    fn elem_name<'a>(&'a self, target: &'a Node) -> NodeName<'a> {
        self.look();
        NodeName(&target.name)
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, _: ElementFlags) -> Node {
        for attribute in &attributes {
            self.counts.text_ends();
            self.counts.text(&attribute.value);
        }
        self.counts.text_ends();
        self.node(name)
    }

    fn create_comment(&self, _: StrTendril) -> Node {
        self.unnamed()
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Node {
        self.unnamed()
    }

    fn append(&self, _: &Node, child: NodeOrText<Node>) {
        match child {
            NodeOrText::AppendText(piece) => self.counts.text(&piece),
            NodeOrText::AppendNode(_) => self.counts.text_ends(),
        }
    }

    fn append_based_on_parent_node(&self, parent: &Node, _: &Node, child: NodeOrText<Node>) {
        self.append(parent, child);
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Node) -> Node {
        target.clone()
    }

    fn same_node(&self, x: &Node, y: &Node) -> bool {
        self.look();
        x.number == y.number
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Node, child: NodeOrText<Node>) {
        self.append(sibling, child);
    }

    fn add_attrs_if_missing(&self, _: &Node, _: Vec<Attribute>) {}

    fn remove_from_parent(&self, _: &Node) {}

    fn reparent_children(&self, _: &Node, _: &Node) {}
}
