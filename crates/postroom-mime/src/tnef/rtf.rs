//! RTF bodies: the HTML or text that RTF was made of, else the text in it.
//!
//! Outlook keeps HTML mail as RTF, with the HTML in special destinations (MS-OXRTFEX). Text in
//! `\*\htmltag` groups is HTML. Text between `\htmlrtf` and `\htmlrtf0` is only for RTF readers.
//! All other text belongs to both.

use crate::tnef::rtf::state::{Destination, GroupState, RtfOrigin};
use crate::tnef::rtf::token::{RtfToken, RtfTokens};

mod output;
mod state;
mod token;

use crate::tnef::rtf::output::Output;

/// A body that was taken out of RTF.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RtfBody {
    /// The HTML that the RTF was made of.
    Html(String),
    /// The text that the RTF was made of, or its characters without their looks.
    Text(String),
}

/// Groups that are nested deeper share one state.
const DEPTH_MAX: usize = 500;
/// Fonts beyond these are taken for the default one.
const FONTS_MAX: usize = 5_000;

/// Reads RTF as far as it goes. `None` if the bytes are not RTF.
pub(crate) fn read(rtf: &[u8]) -> Option<RtfBody> {
    if !rtf.trim_ascii_start().starts_with(b"{\\rtf") {
        return None;
    }
    let mut reader = RtfReader::default();
    for token in RtfTokens::new(rtf) {
        reader.token(token);
    }
    let text = reader.output.finish();
    Some(match reader.mode {
        RtfOrigin::Html => RtfBody::Html(text),
        RtfOrigin::Text | RtfOrigin::Plain => RtfBody::Text(text),
    })
}

#[derive(Debug, Default)]
struct RtfReader {
    mode: RtfOrigin,
    state: GroupState,
    outer: Vec<GroupState>,
    /// Groups that are open beyond `DEPTH_MAX`.
    surplus: usize,
    /// Whether `\*` stands before the present token.
    starred: bool,
    /// How many characters after `\u` are its stand-in for old readers.
    stand_ins: u32,
    /// Code pages of fonts.
    fonts: std::collections::HashMap<i32, u32>,
    /// The font that the font table describes at the moment.
    font: i32,
    font_default: i32,
    code_page: Option<u32>,
    output: Output,
}

impl RtfReader {
    fn token(&mut self, token: RtfToken<'_>) {
        let starred = std::mem::take(&mut self.starred);
        match token {
            RtfToken::Open => self.open(),
            RtfToken::Close => self.close(),
            RtfToken::Star => self.starred = true,
            RtfToken::Text(text) => self.text(text),
            RtfToken::Byte(byte) => {
                if !self.is_stand_in() {
                    self.bytes(&[byte]);
                }
            }
            RtfToken::Symbol(symbol) => {
                if !self.is_stand_in() {
                    self.symbol(symbol);
                }
            }
            RtfToken::Word(word, number) => {
                if starred && word != b"htmltag" {
                    self.state.destination = Destination::Skipped;
                } else if !self.is_stand_in() {
                    self.word(word, number);
                }
            }
        }
    }

    fn open(&mut self) {
        self.stand_ins = 0;
        if self.outer.len() < DEPTH_MAX {
            self.outer.push(self.state);
        } else {
            self.surplus += 1;
        }
    }

    fn close(&mut self) {
        self.stand_ins = 0;
        if self.surplus > 0 {
            self.surplus -= 1;
        } else if let Some(state) = self.outer.pop() {
            self.state = state;
        }
    }

    fn is_stand_in(&mut self) -> bool {
        let is = self.stand_ins > 0;
        self.stand_ins = self.stand_ins.saturating_sub(1);
        is
    }

    fn text(&mut self, text: &[u8]) {
        let skipped = usize::try_from(self.stand_ins).unwrap_or(usize::MAX).min(text.len());
        self.stand_ins = self.stand_ins.saturating_sub(u32::try_from(skipped).unwrap_or(u32::MAX));
        self.bytes(text.get(skipped..).unwrap_or_default());
    }

    /// Tells whether what comes now belongs to the body.
    fn is_shown(&self) -> bool {
        match self.state.destination {
            Destination::Body => !(self.state.only_rtf && self.mode == RtfOrigin::Html),
            Destination::HtmlTag => self.mode == RtfOrigin::Html,
            Destination::Skipped | Destination::Fonts => false,
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if self.is_shown() {
            let font = self.state.font.unwrap_or(self.font_default);
            let code_page = match self.state.destination {
                Destination::HtmlTag => None,
                Destination::Body | Destination::Skipped | Destination::Fonts => {
                    self.fonts.get(&font).copied()
                }
            };
            self.output.bytes(bytes, code_page.or(self.code_page));
        }
    }

    fn char(&mut self, char: char) {
        if self.is_shown() {
            self.output.char(char);
        }
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'~' => self.char('\u{a0}'),
            b'_' => self.char('\u{2011}'),
            b'-' => self.char('\u{ad}'),
            b'\\' | b'{' | b'}' => self.bytes(&[symbol]),
            b'\r' | b'\n' => self.line_end(),
            _ => {}
        }
    }

    fn line_end(&mut self) {
        self.char('\r');
        self.char('\n');
    }

    fn word(&mut self, word: &[u8], number: Option<i32>) {
        let value = number.unwrap_or(0);
        match word {
            b"htmltag" => self.state.destination = Destination::HtmlTag,
            b"htmlrtf" => self.state.only_rtf = number != Some(0),
            b"fromhtml" => self.mode = RtfOrigin::Html,
            b"fromtext" => self.mode = RtfOrigin::Text,
            b"ansicpg" => self.code_page = u32::try_from(value).ok(),
            b"deff" => self.font_default = value,
            b"plain" => self.state.font = None,
            b"uc" => self.state.stand_ins = u32::try_from(value).unwrap_or(1).min(100),
            b"u" => self.unicode(value),
            b"fonttbl" => self.state.destination = Destination::Fonts,
            b"f" if self.state.destination == Destination::Fonts => self.font = value,
            b"f" => self.state.font = Some(value),
            b"fcharset" => self.font_code_page(state::code_page_of_charset(value)),
            b"cpg" => self.font_code_page(u32::try_from(value).ok()),
            _ if state::is_skipped_destination(word) => {
                self.state.destination = Destination::Skipped;
            }
            _ => self.character_word(word),
        }
    }

    /// Takes the words that stand for characters.
    fn character_word(&mut self, word: &[u8]) {
        match word {
            b"par" | b"line" | b"row" | b"sect" | b"page" => self.line_end(),
            b"tab" | b"cell" => self.char('\t'),
            b"lquote" => self.char('\u{2018}'),
            b"rquote" => self.char('\u{2019}'),
            b"ldblquote" => self.char('\u{201c}'),
            b"rdblquote" => self.char('\u{201d}'),
            b"bullet" => self.char('\u{2022}'),
            b"endash" => self.char('\u{2013}'),
            b"emdash" => self.char('\u{2014}'),
            b"enspace" => self.char('\u{2002}'),
            b"emspace" => self.char('\u{2003}'),
            b"zwj" => self.char('\u{200d}'),
            b"zwnj" => self.char('\u{200c}'),
            _ => {}
        }
    }

    fn unicode(&mut self, value: i32) {
        self.stand_ins = self.state.stand_ins;
        if self.is_shown() {
            // Written as a signed number of 16 bits, so the upper half is negative.
            let unit = u16::try_from(value.rem_euclid(0x1_0000)).unwrap_or_default();
            self.output.unit(unit);
        }
    }

    fn font_code_page(&mut self, code_page: Option<u32>) {
        let fonts = self.state.destination == Destination::Fonts;
        if let Some(code_page) = code_page
            && fonts
            && self.fonts.len() < FONTS_MAX
        {
            self.fonts.insert(self.font, code_page);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(rtf: &[u8]) -> String {
        match read(rtf) {
            Some(RtfBody::Html(html)) => html,
            other => panic!("{other:?}"),
        }
    }

    fn text(rtf: &[u8]) -> String {
        match read(rtf) {
            Some(RtfBody::Text(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn html_inside_rtf() {
        let rtf = br"{\rtf1\ansi\ansicpg1251\fromhtml1 \deff0
            {\fonttbl {\f0\fswiss\fcharset204 Arial;}{\f1\fmodern\fcharset0 Courier;}}
            {\colortbl\red0;}
            {\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 \'cf\'f0\'e8\htmlrtf\par}\htmlrtf0
            {\*\mhtmltag84 no}{\*\htmltag84 &nbsp;}\f1 caf\'e9{\*\htmltag72 </p>\par}}";
        let got = html(rtf).replace("            ", "");
        assert_eq!(got, "<p>При&nbsp;café</p>\r\n");
    }

    #[test]
    fn text_inside_rtf_and_plain_rtf() {
        assert_eq!(text(br"{\rtf1\ansi\fromtext a\par b\tab c}"), "a\r\nb\tc");
        assert_eq!(
            text(br"{\rtf1\ansi{\info{\title no}}\pard\b yes\b0 , {\i it} is\'85}"),
            "yes, it is\u{2026}"
        );
        assert_eq!(
            text(br"{\rtf1\uc1\u1055?\u1088\'f0\u-10179?\u-8704?{\uc0\u1080} x}"),
            "Пр\u{1f600}и x"
        );
        assert_eq!(text(b"{\\rtf1 a\\bin3 {{{b\\{\\}\\\\}"), "ab{}\\");
        assert_eq!(text(br"{\rtf1{\fonttbl{\f7\fcharset128 x;}}\f7\'93\'fa\'96\'7b}"), "日本");
    }

    #[test]
    fn what_is_no_rtf() {
        assert_eq!(read(b""), None);
        assert_eq!(read(b"<p>"), None);
        assert_eq!(text(&[&b"{\\rtf1 "[..], &b"{".repeat(100_000), b"x"].concat()), "x");
        assert_eq!(text(b"{\\rtf1}}}}}a"), "a");
    }
}
