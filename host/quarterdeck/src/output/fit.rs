//! Rows that fit a terminal: the widest texts are cut, and end with an ellipsis.

use std::io::IsTerminal;

/// Of a column that is cut, so much is left at the least.
const LEAST: usize = 12;
/// Blanks around each cell.
const AROUND: usize = 2;

/// Columns of the terminal that is printed to; `None` where it is none.
pub(super) fn terminal() -> Option<usize> {
    let out = std::io::stdout();
    let size = out.is_terminal().then(|| rustix::termios::tcgetwinsize(&out).ok()).flatten()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// The first column is what a row is known by, and cut last.
pub(super) fn to(width: Option<usize>, rows: &mut [Vec<String>]) {
    let Some(width) = width else { return };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |row: &Vec<String>, column: usize| row.get(column).map_or(0, |cell| cell.chars().count());
    let mut widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| length(row, column)).max().unwrap_or(0)).collect();
    while widths.iter().map(|width| width + AROUND).sum::<usize>() > width {
        let cut = widths.iter_mut().enumerate().filter(|(_, width)| **width > LEAST);
        let Some((_, widest)) = cut.max_by_key(|(column, width)| (*column > 0, **width)) else { break };
        *widest -= 1;
    }
    for row in rows {
        row.iter_mut().zip(&widths).for_each(|(cell, most)| shorten(cell, *most));
    }
}

fn shorten(cell: &mut String, most: usize) {
    if cell.chars().count() > most {
        *cell = cell.chars().take(most.saturating_sub(1)).chain(['…']).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_columns_are_cut_first_and_the_first_one_last() {
        let row = |cells: [usize; 3]| cells.map(|length| "x".repeat(length)).to_vec();
        for (width, cells, expected) in [
            (100, [30, 20, 20], [30, 20, 20]),
            (66, [30, 20, 20], [30, 15, 15]),
            (50, [30, 20, 20], [20, 12, 12]),
            (10, [30, 20, 5], [12, 12, 5]),
        ] {
            let mut rows = vec![row(cells), row([1, 1, 1])];
            to(Some(width), &mut rows);
            let found: Vec<usize> = rows.iter().flatten().take(3).map(|cell| cell.chars().count()).collect();
            assert_eq!(found, expected, "{width}");
        }
    }
}
