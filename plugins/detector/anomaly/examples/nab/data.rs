//! The series and labels of a checkout of numenta/NAB.

use crate::scorer::Labelled;
use quarterdeck_sdk::serde_json;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

/// One series of the corpus.
pub(crate) struct Recorded {
    /// `realTraffic/speed_7578.csv`
    pub(crate) name: String,
    pub(crate) at_ms: Vec<i64>,
    pub(crate) value: Vec<f64>,
}

/// Every series that has labels, in the order of their names.
pub(crate) fn corpus(folder: &Path) -> Result<(Vec<Recorded>, Vec<Labelled>), Box<dyn Error>> {
    let windows = fs::read_to_string(folder.join("labels/combined_windows.json"))?;
    let windows: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(&windows)?;
    let (mut series, mut labelled) = (Vec::new(), Vec::new());
    for (name, windows) in windows {
        let (mut at_ms, mut value) = (Vec::new(), Vec::new());
        for row in fs::read_to_string(folder.join("data").join(&name))?.lines().skip(1) {
            let (time, figure) = row.split_once(',').ok_or("a row without a comma")?;
            at_ms.push(time_of(time).ok_or_else(|| format!("`{time}` is no time"))?);
            value.push(figure.trim().parse::<f64>()?);
        }
        // Where a time occurs twice (a clock that was put back), its first sample counts, as with NAB.
        let index = |time: &str| -> Result<usize, Box<dyn Error>> {
            let time = time_of(time).ok_or("a window without a time")?;
            Ok(at_ms.iter().position(|at| *at == time).ok_or("a window that begins with no sample")?)
        };
        let windows: Result<_, Box<dyn Error>> =
            windows.iter().map(|(first, last)| Ok((index(first)?, index(last)?))).collect();
        labelled.push(Labelled { samples: value.len(), windows: windows? });
        series.push(Recorded { name, at_ms, value });
    }
    Ok((series, labelled))
}

/// The scores that a detector of the benchmark has been published with, where the checkout has them.
pub(crate) fn published(folder: &Path, detector: &str, series: &[Recorded]) -> Result<Vec<Vec<f64>>, Box<dyn Error>> {
    let of = |series: &Recorded| -> Result<Vec<f64>, Box<dyn Error>> {
        let (group, file) = series.name.split_once('/').ok_or("a series without a folder")?;
        let path = folder.join("results").join(detector).join(group).join(format!("{detector}_{file}"));
        let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut rows = text.lines();
        let header = rows.next().ok_or("an empty file")?;
        let column = header.split(',').position(|name| name == "anomaly_score").ok_or("no column anomaly_score")?;
        rows.map(|row| Ok(row.split(',').nth(column).ok_or("a short row")?.parse()?)).collect()
    };
    series.iter().map(of).collect()
}

/// Milliseconds since 1970 of `2014-04-10 07:15:00`, whose fractions are always zero.
fn time_of(text: &str) -> Option<i64> {
    let mut numbers = text.split(['-', ' ', ':', '.']).map(|part| part.parse::<i64>().ok());
    let mut next = || numbers.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    // Days of the civil calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}
