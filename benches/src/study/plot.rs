//! Pictures: curves over time or over a load, and bars.

use std::path::Path;

use anyhow::Result;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Series, Table, Who};

const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 300;
const FONT: &str = "sans-serif";

/// A curve.
pub struct Line<'a> {
    /// Whose; its colour follows from it.
    pub name: &'a str,
    /// Its points.
    pub points: &'a [(f64, f64)],
}

/// A diagram of curves.
pub struct Panel<'a> {
    /// What it shows.
    pub title: String,
    /// What is to the right, with its unit.
    pub x: String,
    /// What is up, with its unit.
    pub y: String,
    /// To the right, each power of two is as wide as any other.
    pub logarithmic: bool,
    /// The curves.
    pub lines: Vec<Line<'a>>,
}

/// The diagrams that these series are for, in their order.
pub fn panels<'a>(all: &'a [Series], wanted: &dyn Fn(&Series) -> bool) -> Vec<Panel<'a>> {
    let mut panels: Vec<Panel<'a>> = Vec::new();
    for series in all.iter().filter(|series| wanted(series) && !series.points.is_empty()) {
        let line = Line { name: &series.name, points: &series.points };
        match panels.iter_mut().find(|panel| panel.title == series.panel) {
            Some(panel) => panel.lines.push(line),
            None => {
                let (x, y) = series.axes.clone();
                panels.push(Panel { title: series.panel.clone(), x, y, logarithmic: false, lines: vec![line] });
            }
        }
    }
    panels
}

/// Of a guest, the same in each picture.
fn colour(name: &str) -> RGBColor {
    let guest = name.split(',').next().unwrap_or_default();
    let known = Who::ALL.into_iter().find(|who| guest == who.name());
    let (red, green, blue) = known.map_or(PARTS[0], Who::colour);
    RGBColor(red, green, blue)
}

/// Of the parts of a bar, from the left.
const PARTS: [(u8, u8, u8); 5] =
    [(0x9a, 0xa5, 0xb1), (0xd3, 0xb9, 0x8c), (0x1f, 0x5f, 0xbf), (0x3a, 0x8f, 0x4d), (0xc0, 0x39, 0x2b)];

fn colour_of_part(number: usize) -> RGBColor {
    let (red, green, blue) = PARTS[number % PARTS.len()];
    RGBColor(red, green, blue)
}

fn fail(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("cannot draw: {error}")
}

/// Draws diagrams below each other, and a line about the host at the foot.
pub fn curves(file: &Path, panels: &[Panel<'_>], foot: &str) -> Result<()> {
    let height = PANEL_HEIGHT * panels.len() as u32 + 24;
    let root = SVGBackend::new(file, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(fail)?;
    let (diagrams, below) = root.split_vertically(height - 24);
    below.draw(&Text::new(foot.to_owned(), (10, 4), (FONT, 12).into_font().color(&BLACK.mix(0.6)))).map_err(fail)?;
    for (area, panel) in diagrams.split_evenly((panels.len(), 1)).iter().zip(panels) {
        draw_panel(area, panel)?;
    }
    root.present().map_err(fail)
}

fn draw_panel(area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, panel: &Panel<'_>) -> Result<()> {
    let points = || panel.lines.iter().flat_map(|line| line.points.iter());
    let place = |x: f64| if panel.logarithmic { x.max(1.0).log2() } else { x };
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::MIN_POSITIVE, f64::max);
    let right = most(&mut points().map(|(x, _)| place(*x)));
    let top = most(&mut points().map(|(_, y)| *y)) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 16))
        .margin(8)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right, 0.0..top)
        .map_err(fail)?;
    let x_label = |x: &f64| if panel.logarithmic { format!("{:.0}", x.exp2()) } else { format!("{x:.0}") };
    let y_label = |y: &f64| short(*y);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(&panel.x)
        .y_desc(&panel.y)
        .x_label_formatter(&x_label)
        .y_label_formatter(&y_label)
        .label_style((FONT, 12))
        .draw()
        .map_err(fail)?;
    for line in &panel.lines {
        let style = colour(line.name).stroke_width(2);
        let points = line.points.iter().map(|(x, y)| (place(*x), *y));
        chart
            .draw_series(LineSeries::new(points, style))
            .map_err(fail)?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    // Over a load the curves end high, to the right.
    let names = if panel.logarithmic { SeriesLabelPosition::UpperLeft } else { SeriesLabelPosition::UpperRight };
    chart
        .configure_series_labels()
        .position(names)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.2))
        .label_font((FONT, 12))
        .draw()
        .map_err(fail)
}

/// One bar: its name, and its parts from the left.
pub struct Bar {
    /// What it is.
    pub name: String,
    /// A length for each of the parts' names.
    pub parts: Vec<f64>,
}

/// A bar of one part for each row of the tables, of each of these columns, which stand for what is said.
pub fn bars_of(tables: &[Table], shown: &[(usize, &str)]) -> Vec<Bar> {
    let mut bars = Vec::new();
    for (column, what) in shown {
        for (name, figures) in tables.iter().flat_map(|table| &table.rows) {
            if let Some(spread) = figures.get(*column).and_then(Option::as_ref) {
                bars.push(Bar { name: format!("{name}, {what}"), parts: vec![spread.median] });
            }
        }
    }
    bars
}

/// Draws bars below each other, each of parts that are `names`, in `unit`. Where the longest is more than twenty times the
/// shortest, lengths are drawn as logarithms, and the picture says so; then there must be one part.
pub fn bars(file: &Path, title: &str, unit: &str, names: &[&str], bars: &[Bar], foot: &str) -> Result<()> {
    let (row, left, head) = (24, 190, 64);
    let height = head + row * bars.len() as i32 + 40;
    let root = SVGBackend::new(file, (WIDTH, height as u32)).into_drawing_area();
    root.fill(&WHITE).map_err(fail)?;
    let small = |colour: &RGBAColor| (FONT, 12).into_font().color(colour);
    let black = BLACK.to_rgba();
    root.draw(&Text::new(title.to_owned(), (10, 8), (FONT, 16).into_font())).map_err(fail)?;
    let sums: Vec<f64> = bars.iter().map(|bar| bar.parts.iter().sum()).collect();
    let longest = sums.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let shortest = sums.iter().copied().filter(|sum| *sum > 0.0).fold(longest, f64::min);
    let logarithmic = names.len() == 1 && longest > shortest * 20.0;
    let room = f64::from(WIDTH as i32 - left - 110);
    let floor = shortest / 4.0;
    let place = |value: f64| {
        let share =
            if logarithmic { (value.max(floor) / floor).ln() / (longest / floor).ln() } else { value / longest };
        left + (share * room) as i32
    };
    let mut x = left;
    for (number, name) in names.iter().enumerate().filter(|_| names.len() > 1) {
        root.draw(&Rectangle::new([(x, 36), (x + 12, 48)], colour_of_part(number).filled())).map_err(fail)?;
        root.draw(&Text::new((*name).to_owned(), (x + 16, 36), small(&black))).map_err(fail)?;
        x += 40 + 7 * name.len() as i32;
    }
    let scale = if logarithmic { format!("{unit}, logarithmic") } else { unit.to_owned() };
    let right = small(&black).pos(Pos::new(HPos::Right, VPos::Top));
    root.draw(&Text::new(scale, (WIDTH as i32 - 10, 36), right.clone())).map_err(fail)?;
    for (number, (bar, sum)) in bars.iter().zip(&sums).enumerate() {
        let y = head + row * number as i32;
        root.draw(&Text::new(bar.name.clone(), (left - 8, y + 4), right.clone())).map_err(fail)?;
        let mut from = 0.0;
        for (number, part) in bar.parts.iter().enumerate() {
            let fill = if names.len() == 1 { colour(&bar.name) } else { colour_of_part(number) };
            let start = if from == 0.0 { left } else { place(from) };
            root.draw(&Rectangle::new([(start, y), (place(from + part), y + row - 6)], fill.filled())).map_err(fail)?;
            from += part;
        }
        root.draw(&Text::new(short(*sum), (place(*sum) + 6, y + 4), small(&black))).map_err(fail)?;
    }
    root.draw(&Text::new(foot.to_owned(), (10, height - 20), small(&BLACK.mix(0.6)))).map_err(fail)?;
    root.present().map_err(fail)
}

/// A number with as many digits as fit beside a bar.
fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e9 => format!("{:.2} G", value / 1e9),
        size if size >= 1e6 => format!("{:.1} M", value / 1e6),
        size if size >= 1e5 => format!("{:.0} k", value / 1e3),
        size if size >= 1e4 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(draw: impl FnOnce(&Path) -> Result<()>) -> String {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let file = std::env::temp_dir().join(format!("toro-plot-{}-{number}.svg", std::process::id()));
        draw(&file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        text
    }

    #[test]
    fn a_picture_names_its_curves_and_its_host() {
        let lines = vec![Line { name: "toro", points: &[(0.0, 1.0), (1.0, 2.0)] }];
        let panel = Panel { title: "CPU".into(), x: "s".into(), y: "%".into(), logarithmic: false, lines };
        let svg = drawn(|file| curves(file, &[panel], "a host"));
        for part in ["toro", "a host", "CPU", "#1F5FBF"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn a_bar_has_its_name_and_its_length() {
        let all =
            [Bar { name: "toro".into(), parts: vec![1.0, 2.5] }, Bar { name: "none".into(), parts: vec![0.0, 0.0] }];
        let svg = drawn(|file| bars(file, "boot", "ms", &["firmware", "kernel"], &all, "a host"));
        for part in ["toro", "3.5", "firmware", "kernel"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
    }

    #[test]
    fn numbers_beside_bars_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (5.25, "5.2"),
            (19_513.0, "19.5 k"),
            (162_000.0, "162 k"),
            (1.3865e9, "1.39 G"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
