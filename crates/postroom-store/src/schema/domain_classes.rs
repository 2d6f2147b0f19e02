//! The step that lets a domain add to the classes of all domains.

/// - `domain class` has what a domain adds to a class: what differs from the class as all domains
///   have it, what all domains had in its place, and the columns of the properties that it added.
///   `adds` tells whether it still adds something.
/// - `retired value` lists the columns whose values of a domain are still to be deleted. Until
///   then, the domain gives the column to no other property. `revision` is the version of the
///   classes that removed the property: the domain may remove another one of the column later.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"domain class\" (
       \"domain\" {text} NOT NULL, \"name\" {text} NOT NULL, \"definition\" {json} NOT NULL,
       \"base\" {json} NOT NULL, \"columns\" {json} NOT NULL, \"revision\" {whole} NOT NULL,
       \"adds\" {boolean} NOT NULL, PRIMARY KEY (\"domain\", \"name\"))",
    "CREATE TABLE \"retired value\" (
       \"domain\" {text} NOT NULL, \"table\" {text} NOT NULL, \"column\" {text} NOT NULL,
       \"revision\" {whole} NOT NULL, PRIMARY KEY (\"domain\", \"table\", \"column\"))",
];
