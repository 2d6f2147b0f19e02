//! The deletion of a class: its entities get rows in the feed, and their data in other tables is
//! deleted.

use crate::claim_row;
use crate::columns::quoted;
use crate::database::Statement;
use crate::database::Value;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Operation;

impl Store {
    /// The statements that write a row of the feed for each entity of a class that is deleted, and
    /// remove the values of these entities from the feed. Nobody changes an entity at the same
    /// time, because the classes are locked.
    pub(crate) fn all_deleted(&self, class: &Class) -> [Statement; 4] {
        let table = quoted(&class.table());
        let seq = self.inner.database.dialect().seq("ROW_NUMBER() OVER (ORDER BY \"id\")");
        let rows = format!(
            "INSERT INTO \"change\" (\"seq\", \"domain\", \"class\", \"entity\", \"operation\",
               \"at\", \"modifier_type\", \"modifier_id\")
             SELECT {seq}, \"domain\", $1, \"id\", $2, $3, $4, $5 FROM {table}"
        );
        let rows = Statement::new(rows)
            .bind(class.classname.as_str())
            .bind(Operation::Delete.number())
            .bind(Value::Moment(self.clock().now_ms()))
            .bind(self.modifier.kind())
            .bind(self.modifier.id());
        // There may be more entities than a transaction has numbers. So the later ones are raised.
        let counted = format!(
            "UPDATE \"meta\" SET \"number\" = \"number\" + (SELECT COUNT(*) FROM {table})
             WHERE \"name\" = 'seq'"
        );
        let forget = format!(
            "UPDATE \"change\" SET \"replaced\" = NULL WHERE \"class\" = $1
               AND \"replaced\" IS NOT NULL AND \"entity\" IN (SELECT \"id\" FROM {table})"
        );
        let forget = Statement::new(forget).bind(class.classname.as_str());
        [rows, Statement::new(counted), forget, claim_row::gone_of_class(class)]
    }
}
