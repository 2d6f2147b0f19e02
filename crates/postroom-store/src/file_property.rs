//! How the column `property` of a file names its property.

use postroom_model::Class;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;

/// The built-in properties of messages that hold files.
const OF_MESSAGES: [&str; 4] =
    [files::ATTACHMENTS, files::HTML, files::INLINES, files::RAW_MESSAGE];

/// The value of the column `property` for a property of a class. It includes the id of the class,
/// because entities of two classes may have the same id. Only the built-in properties of messages
/// are stored by their name alone.
pub(crate) fn stored_property(class: &Class, property: &str) -> String {
    if class.classname == MESSAGES && OF_MESSAGES.contains(&property) {
        return property.to_owned();
    }
    format!("{}/{property}", class.id)
}
