//! Finds numbers in JSON that 64 bits cannot hold exactly.
//!
//! A number is exact if it is whole and has at most 64 bits, or if the nearest floating point
//! number, written with as many digits, is the same. So `0.1` is exact, and so are the 17 digits
//! that programs write. The value of a property of the type `float` is rounded, because that is its
//! type. In properties that hold JSON, a number that is not exact is refused, so that it is never
//! changed silently.
//!
//! Standards: RFC 8259 (§6 numbers).

use crate::problem::Problem;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Invalid;

/// How many places are named.
const PLACES_MAX: usize = 10;
/// No floating point number has more digits.
const DIGITS_MAX: usize = 767;
/// A whole number of so many bytes has 64 bits.
const SHORT: usize = 15;

/// The places of numbers in a JSON text that are not exact, at most [`PLACES_MAX`]. The text must
/// be valid JSON.
pub(crate) fn rounded(bytes: &[u8]) -> Vec<String> {
    let is_lost = |token| matches!(token, JsonToken::Number(number) if !is_kept(number));
    if (JsonTokens { bytes, at: 0 }).any(is_lost) { places(bytes) } else { vec![] }
}

/// Refuses numbers that are not exact in properties that hold JSON.
///
/// # Errors
///
/// 422 with the place of each.
pub(crate) fn check(class: &Class, rounded: &[String]) -> Result<(), Problem> {
    let of_json = rounded.iter().filter(|place| {
        // In a list each entity has its index.
        let within = place.strip_prefix('[').and_then(|rest| rest.split_once("]."));
        let path = within.map_or(place.as_str(), |(_, path)| path);
        let name = path.split(['.', '[']).next().unwrap_or_default();
        class.property(name).is_some_and(|property| property.data_type == DataType::Any)
    });
    refuse(of_json)
}

/// Refuses every number that is not exact.
///
/// # Errors
///
/// 422 with the place of each.
pub(crate) fn refuse<'a>(rounded: impl IntoIterator<Item = &'a String>) -> Result<(), Problem> {
    let reason = "a number of more digits than can be kept: send at most 17 digits, or a text";
    let problems: Vec<_> =
        rounded.into_iter().map(|place| Invalid::new(place.as_str(), reason)).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
}

/// A token of a JSON text. Colons and blanks are left out.
enum JsonToken<'a> {
    Begin(u8),
    End,
    Comma,
    /// A text, with its quotes.
    Text(&'a [u8]),
    Number(&'a str),
    Word,
}

struct JsonTokens<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for JsonTokens<'a> {
    type Item = JsonToken<'a>;

    fn next(&mut self) -> Option<JsonToken<'a>> {
        loop {
            let begin = self.at;
            let first = *self.bytes.get(begin)?;
            self.at += 1;
            return Some(match first {
                b'{' | b'[' => JsonToken::Begin(first),
                b'}' | b']' => JsonToken::End,
                b',' => JsonToken::Comma,
                b'"' => {
                    self.skip_text();
                    JsonToken::Text(self.bytes.get(begin..self.at).unwrap_or_default())
                }
                b'-' | b'0'..=b'9' => {
                    self.skip_while(|byte| {
                        matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
                    });
                    let number = self.bytes.get(begin..self.at).unwrap_or_default();
                    JsonToken::Number(str::from_utf8(number).unwrap_or_default())
                }
                b'a'..=b'z' => {
                    self.skip_while(|byte| byte.is_ascii_lowercase());
                    JsonToken::Word
                }
                _ => continue,
            });
        }
    }
}

impl JsonTokens<'_> {
    fn skip_while(&mut self, is: impl Fn(u8) -> bool) {
        while self.bytes.get(self.at).is_some_and(|byte| is(*byte)) {
            self.at += 1;
        }
    }

    /// Up to behind the closing quote.
    fn skip_text(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += if *byte == b'\\' { 2 } else { 1 };
            if *byte == b'"' {
                return;
            }
        }
    }
}

/// Where the reader is in an array or object.
enum JsonLevel {
    Array(usize),
    /// The name of the member. `None`: it is read next.
    Object(Option<String>),
}

fn places(bytes: &[u8]) -> Vec<String> {
    let (mut levels, mut found) = (vec![], vec![]);
    for token in (JsonTokens { bytes, at: 0 }) {
        match (token, levels.last_mut()) {
            (JsonToken::Begin(b'{'), _) => levels.push(JsonLevel::Object(None)),
            (JsonToken::Begin(_), _) => levels.push(JsonLevel::Array(0)),
            (JsonToken::End, _) => drop(levels.pop()),
            (JsonToken::Comma, Some(JsonLevel::Array(at))) => *at += 1,
            (JsonToken::Comma, Some(JsonLevel::Object(name))) => *name = None,
            (JsonToken::Text(text), Some(JsonLevel::Object(name @ None))) => {
                *name = serde_json::from_slice(text).ok();
            }
            (JsonToken::Number(number), _) if !is_kept(number) => found.push(place(&levels)),
            (JsonToken::Comma | JsonToken::Text(_) | JsonToken::Number(_) | JsonToken::Word, _) => {
            }
        }
        if found.len() == PLACES_MAX {
            break;
        }
    }
    found
}

fn place(levels: &[JsonLevel]) -> String {
    let mut place = String::new();
    for level in levels {
        match level {
            JsonLevel::Array(at) => place.push_str(&format!("[{at}]")),
            JsonLevel::Object(name) => {
                let dot = if place.is_empty() { "" } else { "." };
                place.push_str(&format!("{dot}{}", name.as_deref().unwrap_or_default()));
            }
        }
    }
    place
}

/// Whether a number of JSON is exact.
fn is_kept(number: &str) -> bool {
    let is_short = number.len() <= SHORT && !number.contains(['e', 'E']);
    if is_short || number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    let Some(written) = Decimal::of(number) else {
        return false;
    };
    let digits = written.digits.len();
    let Some(value) = number.parse::<f64>().ok().filter(|_| digits <= DIGITS_MAX) else {
        return false;
    };
    digits == 0 || Decimal::of(&format!("{value:.*e}", digits - 1)) == Some(written)
}

/// A number as its digits, without zeros at both ends, and the power of ten of the first.
#[derive(PartialEq)]
struct Decimal {
    digits: String,
    power: i64,
}

impl Decimal {
    fn of(number: &str) -> Option<Self> {
        let number = number.trim_start_matches('-');
        let (mantissa, power) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0');
        let leading = i64::try_from(all.len() - digits.len()).ok()?;
        let power = power.parse::<i64>().ok()?.checked_add(i64::try_from(whole.len()).ok()?)?;
        let digits = digits.trim_end_matches('0').to_owned();
        let power = if digits.is_empty() { 0 } else { power.checked_sub(leading + 1)? };
        Some(Self { digits, power })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_value_of_64_bits_can_keep_is_kept() {
        for number in [
            "0",
            "-0",
            "0.0",
            "-0.0e5",
            "1",
            "-5",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "9007199254740993",
            "0.1",
            "1e23",
            "1E+2",
            "100e-2",
            "1e22",
            "100000000000000000000000",
            "0.10000000000000001",
            "3.1415926535897931",
            "2.2250738585072014e-308",
            "5e-324",
            "1.7976931348623157e308",
            "1.50000000000000000000",
            "0.1000000000000000055511151231257827021181583404541015625",
            "123456789012345680000",
        ] {
            assert!(is_kept(number), "{number}");
        }
        for number in [
            "12345678901234567890123",
            "18446744073709551617",
            "-9223372036854775809.5",
            "1e-400",
            "0.12345678901234567890",
            "3.14159265358979323846",
            "9007199254740993.0",
            "123456789012345678901e5",
            "1e99999999999999999999",
        ] {
            assert!(!is_kept(number), "{number}");
        }
    }

    #[test]
    fn a_number_that_is_not_kept_is_found_with_its_place() {
        const BIG: &str = "12345678901234567890123";
        #[rustfmt::skip]
        let table = [
            (r#"{"a": {"b": [1, {"c": @}]}, "d": 2}"#,    vec!["a.b[1].c"]),
            (r#"[{"a": 1}, {"a": @}, {"b": [@, @]}]"#,    vec!["[1].a", "[2].b[0]", "[2].b[1]"]),
            (r#"["==", ["property", "a.b"], @]"#,         vec!["[2]"]),
            (r#"{"a": "@", "b\"@": "\\", "c": true, "é\n": @}"#, vec!["é\n"]),
            ("@",                                      vec![""]),
            (r#"{"a": "\\\"@", "b": null}"#,              vec![]),
            (r#"{"a": [], "b": {}, "c": [[], [@]]}"#,     vec!["c[1][0]"]),
        ];
        for (text, want) in table {
            assert_eq!(rounded(text.replace('@', BIG).as_bytes()), want, "{text}");
        }
        let many = format!("[{BIG}{}]", format!(",{BIG}").repeat(50));
        assert_eq!(rounded(many.as_bytes()).len(), PLACES_MAX);
    }
}
