//! The report: a table with the change against the last run, and a file that the next run compares with.

use std::path::Path;

use anyhow::Result;
use comfy_table::{Cell, CellAlignment, Table, presets};

use crate::measure::{Measurement, count};

/// A row: what it shows, and with how many digits after the point.
type Row = (&'static str, fn(&Measurement) -> f64, usize);

const ROWS: [Row; 24] = [
    ("floor: the writes by bare clients (s)", |m| m.floor, 2),
    ("floor: the run after ÷ the run before", |m| m.floor_change, 2),
    ("to Ready (s)", |m| m.ready, 2),
    ("to Ready ÷ (floor + 1 s of processing)", Measurement::ratio, 2),
    ("restart, until the caches are synced (s)", |m| m.restart, 2),
    ("to gone (s)", |m| m.gone, 2),
    ("writes per plan", |m| m.plan_writes, 2),
    ("Events per plan", |m| m.events, 2),
    ("writes of the Secret", |m| count(m.secret_writes), 0),
    ("other requests to the API server per plan", |m| m.other_requests, 2),
    ("sign-ins per plan", |m| m.sign_ins, 2),
    ("List per plan", |m| m.lists, 2),
    ("create per plan", |m| m.creates, 2),
    ("Show per plan", |m| m.shows, 2),
    ("floor: CPU of the bare clients per plan (ms)", |m| m.floor_cpu, 2),
    ("CPU per plan, to Ready (ms)", |m| m.cpu, 2),
    ("steady: writes", |m| count(m.steady_writes), 0),
    ("steady: CPU (% of one core)", |m| m.steady_cpu, 2),
    ("restart: writes", |m| count(m.restart_writes), 0),
    ("restart: most requests to FIC in a second", |m| count(m.restart_burst), 0),
    ("memory without plans (MiB)", |m| m.idle_memory, 1),
    ("memory at the peak (MiB)", |m| m.peak_memory, 1),
    ("memory in the steady state (MiB)", |m| m.steady_memory, 1),
    ("memory after all are gone (MiB)", |m| m.gone_memory, 1),
];

/// The table, with the change against earlier measurements of as many plans.
pub(crate) fn table(measurements: &[Measurement], earlier: &[Measurement]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let header = measurements.iter().map(|measurement| format!("{} plans", measurement.plans));
    table.set_header(std::iter::once(String::new()).chain(header));
    for (name, value, digits) in ROWS {
        let cells = measurements.iter().map(|measurement| {
            let before = earlier.iter().find(|before| before.plans == measurement.plans);
            Cell::new(cell(value(measurement), before.map(value), digits)).set_alignment(CellAlignment::Right)
        });
        table.add_row(std::iter::once(Cell::new(name)).chain(cells));
    }
    table
}

fn cell(value: f64, before: Option<f64>, digits: usize) -> String {
    match before.map(|before| (value - before) / before * 100.0) {
        Some(change) if change.is_finite() && change.abs() >= 0.5 => format!("{value:.digits$} ({change:+.0} %)"),
        Some(_) | None => format!("{value:.digits$}"),
    }
}

/// The measurements in a file; none if there is no such file.
pub(crate) fn read(file: &Path) -> Result<Vec<Measurement>> {
    if file.exists() { Ok(serde_json::from_slice(&std::fs::read(file)?)?) } else { Ok(vec![]) }
}

/// Writes the measurements to a file. Those of other numbers of plans stay.
pub(crate) fn write(file: &Path, measurements: &[Measurement], earlier: Vec<Measurement>) -> Result<()> {
    let is_new = |known: &Measurement| measurements.iter().all(|measurement| measurement.plans != known.plans);
    let mut all = earlier.into_iter().filter(is_new).chain(measurements.iter().cloned()).collect::<Vec<_>>();
    all.sort_by_key(|measurement| measurement.plans);
    Ok(std::fs::write(file, serde_json::to_string_pretty(&all)? + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_shows_a_change_of_at_least_half_a_percent() {
        assert_eq!(cell(3.0, None, 2), "3.00");
        assert_eq!(cell(3.0, Some(3.001), 2), "3.00");
        assert_eq!(cell(3.0, Some(4.0), 1), "3.0 (-25 %)");
        assert_eq!(cell(3.0, Some(0.0), 0), "3", "no ratio to nothing");
    }
}
