//! JSON problems: why a text is not JSON, in words.

/// Why a text is not JSON, and where, worded to follow `it is not valid JSON: `.
#[must_use]
pub fn json_problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some(inside) = text.strip_prefix("EOF while parsing ") else {
        return text;
    };
    format!("it ends within {inside}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_cut_off_says_so() {
        let of = |text| json_problem(&serde_json::from_str::<serde_json::Value>(text).unwrap_err());
        assert_eq!(of("[1"), "it ends within a list at line 1 column 2");
        assert_eq!(of("{"), "it ends within an object at line 1 column 1");
        assert_eq!(of("["), "it ends within a list at line 1 column 1");
        assert_eq!(of("x"), "expected value at line 1 column 1");
    }
}
