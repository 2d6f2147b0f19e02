//! Fingerprints of certificates: SHA-256 of their DER form, as people write them.

/// The octets of SHA-256.
pub const OCTETS: usize = 32;
/// How many one text may name.
const COUNT_MAX: usize = 8;

/// Reads one or several fingerprints, separated by commas or blanks. Each has 64 hexadecimal digits
/// in upper or lower case, with or without colons. `sha256:` may come before it, or what
/// `openssl x509 -fingerprint` writes there.
///
/// # Errors
///
/// What the text should be, for people.
pub fn parse(text: &str) -> Result<Vec<[u8; OCTETS]>, &'static str> {
    const PROBLEM: &str = "takes one or several SHA-256 fingerprints of certificates, \
         64 hexadecimal digits each, with or without colons";
    // `openssl` writes `sha256 Fingerprint=AB:CD:..`.
    let is_label = |word: &str| ["sha256", "fingerprint"].contains(&word.to_lowercase().as_str());
    let words = text.split([',', ' ', ';', '=', '\n', '\r']);
    let words = words.filter(|word| !word.is_empty() && !is_label(word));
    let all: Option<Vec<_>> = words.map(one).collect();
    all.filter(|all| (1..=COUNT_MAX).contains(&all.len())).ok_or(PROBLEM)
}

fn one(word: &str) -> Option<[u8; OCTETS]> {
    let bare = word.split_at_checked("sha256:".len());
    let bare = bare.filter(|(name, _)| name.eq_ignore_ascii_case("sha256:")).map(|(_, rest)| rest);
    let digits: String = bare.unwrap_or(word).chars().filter(|char| *char != ':').collect();
    if digits.len() != 2 * OCTETS || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut octets = [0; OCTETS];
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(octets)
}

/// Writes a fingerprint as people compare it: `AB:CD:..`.
#[must_use]
pub fn written(octets: &[u8; OCTETS]) -> String {
    octets.iter().map(|octet| format!("{octet:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_however_it_is_written() {
        let octets: [u8; OCTETS] = std::array::from_fn(|at| u8::try_from(at * 7).unwrap());
        let colons = written(&octets);
        let bare = colons.replace(':', "").to_lowercase();
        for text in [colons.clone(), bare.clone(), format!("SHA256:{bare}"), format!(" {bare},")] {
            assert_eq!(parse(&text), Ok(vec![octets]), "{text}");
        }
        let pasted = format!("sha256 Fingerprint={colons}\n");
        assert_eq!(parse(&pasted), Ok(vec![octets]));
        assert_eq!(parse(&format!("{colons}, {bare}")).map(|all| all.len()), Ok(2));
        for text in [
            "",
            "sha256 Fingerprint=",
            "AB",
            &bare[1..],
            &bare.replace('0', "g"),
            &format!("{bare}0"),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
