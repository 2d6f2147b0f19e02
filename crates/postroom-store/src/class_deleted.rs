//! What the feed says of the entities of a class that is deleted.

use crate::columns::quoted;
use crate::database::Statement;
use crate::database::Value;
use crate::feed::Operation;
use crate::store::Store;
use postroom_model::Class;

impl Store {
    /// The statements that tell, and forget in the feed, all entities of a class that is deleted.
    pub(crate) fn all_deleted(&self, class: &Class) -> [Statement; 2] {
        let table = quoted(&class.table());
        let rows = format!(
            "INSERT INTO \"change\" (\"domain\", \"class\", \"entity\", \"operation\", \"at\",
               \"modifier_type\", \"modifier_id\")
             SELECT \"domain\", $1, \"id\", $2, $3, $4, $5 FROM {table}"
        );
        let rows = Statement::new(rows)
            .bind(class.classname.as_str())
            .bind(Operation::Delete.number())
            .bind(Value::Moment(self.clock().now_ms()))
            .bind(self.modifier.kind())
            .bind(self.modifier.id());
        let forget = format!(
            "UPDATE \"change\" SET \"replaced\" = NULL WHERE \"class\" = $1
               AND \"replaced\" IS NOT NULL AND \"entity\" IN (SELECT \"id\" FROM {table})"
        );
        [rows, Statement::new(forget).bind(class.classname.as_str())]
    }
}
