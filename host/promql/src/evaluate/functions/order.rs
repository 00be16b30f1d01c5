//! `sort` and `sort_desc`.

use super::Call;
use crate::error::Error;
use crate::evaluate::aggregate::ranking;
use crate::evaluate::row::{ABSENT, Row};

impl Call<'_, '_> {
    pub(super) fn sorted(&mut self) -> Result<Vec<Row>, Error> {
        let descending = self.function == "sort_desc";
        let mut rows = self.rows(0)?;
        if !self.grid.is_instant() {
            let message = "sort is ineffective for range queries since results are always ordered by labels";
            self.evaluator.notes.warn(self.node.position, message);
            return Ok(rows);
        }
        let value = |row: &Row| row.values.first().copied().unwrap_or(ABSENT);
        rows.sort_by(|one, other| ranking(value(one), value(other), descending));
        Ok(rows)
    }
}
