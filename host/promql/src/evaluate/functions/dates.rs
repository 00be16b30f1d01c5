//! Parts of a moment, in UTC.

use super::Call;
use crate::error::Error;
use crate::evaluate::row::{self, Row};
use chrono::{DateTime, Datelike, Timelike, Utc};

type Part = fn(DateTime<Utc>) -> u32;

pub(super) fn find(name: &str) -> Option<Part> {
    Some(match name {
        "day_of_month" => |time| time.day(),
        "day_of_week" => |time| time.weekday().num_days_from_sunday(),
        "day_of_year" => |time| time.ordinal(),
        "days_in_month" => |time| u32::from(time.num_days_in_month()),
        "hour" => |time| time.hour(),
        "minute" => |time| time.minute(),
        "month" => |time| time.month(),
        "year" => |time| u32::try_from(time.year()).unwrap_or(0),
        _ => return None,
    })
}

impl Call<'_, '_> {
    /// Of the values, which are seconds since 1970; without an argument, of the steps.
    pub(super) fn of_moments(&mut self, part: Part) -> Result<Vec<Row>, Error> {
        let rows = if self.arguments.is_empty() {
            self.evaluator.hold(1, self.grid)?;
            vec![Row::unnamed(self.grid.times().map(|time| time.div_euclid(1000) as f64).collect())]
        } else {
            self.rows(0)?
        };
        Ok(row::map(rows, |seconds| {
            // No calendar has years for the others.
            let time = seconds.is_finite().then(|| DateTime::from_timestamp(seconds as i64, 0)).flatten();
            time.map_or(f64::NAN, |time| f64::from(part(time)))
        }))
    }
}
