//! The columns of class tables that the domains share for the properties that they add.
//!
//! ```text
//!   "own text 1"    `ticketId` of one domain, `orderNumber` of another
//!   "own whole 1"   `ticketId` of a third
//! ```
//! A row belongs to one domain, so each domain has the column for itself. So the number of columns
//! grows with the properties of one domain, and not with the number of domains: databases have at
//! most 1,600. A column is for values of one kind. It is made when a domain needs one more than all
//! domains before it. No property can have such a name.

use crate::columns::kind;
use crate::database::ColumnKind;
use postroom_model::Class;
use postroom_model::DataType;
use postroom_model::Property;

/// What the names of these columns begin with.
const SHARED: &str = "own ";
/// The word of a kind in the name, and how many properties of the kind a domain adds to a class.
const KINDS: [(DataType, &str, usize); 7] = [
    (DataType::String, "text", 200),
    (DataType::Long, "whole", 200),
    (DataType::Any, "json", 100),
    (DataType::Uuid, "id", 100),
    (DataType::Datetime, "moment", 100),
    (DataType::Boolean, "boolean", 100),
    (DataType::Float, "float", 100),
];

/// The kind of value of a type in [`KINDS`].
fn kind_of(data_type: DataType) -> ColumnKind {
    kind(&Property::plain("", data_type))
}

/// The first column for values of a kind that is not in `taken`.
///
/// # Errors
///
/// How many there are, if all are taken.
pub(crate) fn free(of: ColumnKind, taken: &[String]) -> Result<String, usize> {
    let Some((_, word, most)) = KINDS.iter().find(|(data_type, ..)| kind_of(*data_type) == of)
    else {
        return Err(0);
    };
    let mut names = (1..=*most).map(|number| format!("{SHARED}{word} {number}"));
    names.find(|name| !taken.contains(name)).ok_or(*most)
}

/// Whether a column is one of these.
pub(crate) fn is_shared(column: &str) -> bool {
    column.starts_with(SHARED)
}

/// The class with the columns of its table that domains share, as if they were properties.
pub(crate) fn with_shared(class: &Class, columns: &[String]) -> Class {
    let shared = |name: &String| {
        let word = name.strip_prefix(SHARED)?.split(' ').next()?;
        let (data_type, ..) = KINDS.iter().find(|(_, known, _)| *known == word)?;
        Some(Property::plain(name, *data_type))
    };
    let mut class = class.clone();
    class.properties.extend(columns.iter().filter_map(shared));
    class
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;

    #[test]
    fn a_table_has_room_for_all_that_domains_add() {
        let columns: usize = KINDS.iter().map(|(_, _, most)| most).sum();
        let messages = builtin::classes().unwrap().remove(3);
        // Those of all domains beside the built-in ones, and some that are emptied.
        assert!(columns + messages.properties.len() + 400 < 1_600, "{columns}");
    }

    #[test]
    fn a_column_is_taken_once_and_each_is_a_property_of_its_kind() {
        let mut taken = vec![];
        for (data_type, word, most) in KINDS {
            for number in 1..=most {
                let name = free(kind_of(data_type), &taken).unwrap();
                assert_eq!(name, format!("own {word} {number}"));
                taken.push(name);
            }
            assert_eq!(free(kind_of(data_type), &taken), Err(most));
        }
        let messages = builtin::classes().unwrap().remove(3);
        let class = with_shared(&messages, &taken);
        assert_eq!(class.properties.len(), messages.properties.len() + taken.len());
        let last = class.properties.last().unwrap();
        assert_eq!((last.name.as_str(), kind(last)), ("own float 100", ColumnKind::Float));
        assert_eq!(with_shared(&messages, &["subject".to_owned()]), messages);
        assert_eq!(free(ColumnKind::Bytes, &[]), Err(0));
    }
}
