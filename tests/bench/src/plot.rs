//! The plot: time and memory over the number of plans.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;

use crate::measure::Measurement;

type Series = (&'static str, RGBColor, fn(&Measurement) -> f64);

const TIMES: [Series; 3] =
    [("floor", BLACK, |m| m.floor), ("to Ready", BLUE, |m| m.ready), ("to gone", RED, |m| m.gone)];
const MEMORY: [Series; 3] = [
    ("peak", BLUE, |m| m.peak_memory),
    ("steady", BLACK, |m| m.steady_memory),
    ("after all are gone", RED, |m| m.gone_memory),
];

/// Draws both charts.
pub(crate) fn draw(file: &Path, measurements: &[Measurement]) -> Result<()> {
    let area = SVGBackend::new(file, (960, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(480);
    chart(&left, "seconds", &TIMES, measurements)?;
    chart(&right, "MiB", &MEMORY, measurements)?;
    area.present()?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "all numbers are small")]
fn chart(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    unit: &str,
    series: &[Series],
    measurements: &[Measurement],
) -> Result<()> {
    let plans = |m: &Measurement| m.plans as f64;
    let values = || series.iter().flat_map(|(_, _, value)| measurements.iter().map(value));
    let bounds = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (first, last) = bounds(&mut measurements.iter().map(plans));
    let (low, high) = bounds(&mut values());
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d((first * 0.9..last * 1.1).log_scale(), (low * 0.8..high * 1.2).log_scale())?;
    let label = |value: &f64| if *value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") };
    chart
        .configure_mesh()
        .x_desc("plans")
        .y_desc(unit)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (name, color, value) in series {
        let points = measurements.iter().map(|m| (plans(m), value(m)));
        chart
            .draw_series(LineSeries::new(points, color.stroke_width(2)).point_size(3))?
            .label(*name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
