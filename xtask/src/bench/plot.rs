//! A small plot as SVG: one curve over a logarithmic axis.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

/// What is drawn.
#[derive(Debug)]
pub struct Plot<'a> {
    /// What it is about.
    pub title: &'a str,
    /// What the axes are.
    pub x: &'a str,
    pub y: &'a str,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A measurement and its spread.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub x: f64,
    pub y: f64,
    pub least: f64,
    pub most: f64,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// What is left of the curve's field, above, below and to its right.
const LEFT: f64 = 64.0;
const ABOVE: f64 = 44.0;
const BELOW: f64 = 52.0;
const RIGHT: f64 = 28.0;

impl Plot<'_> {
    /// Writes the picture into a file.
    pub fn write(&self, file: &Path) -> Result<()> {
        fs::write(file, self.svg()).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The picture. Its background is white, so that it can be read on any page.
    fn svg(&self) -> String {
        let (first, last) = (self.points.first().map_or(1.0, |p| p.x), self.points.last().map_or(1.0, |p| p.x));
        let top = nice(self.points.iter().map(|point| point.most).fold(1.0, f64::max));
        let width = (last / first).log10().max(f64::MIN_POSITIVE);
        let x = |value: f64| LEFT + (value / first).log10() / width * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| HEIGHT - BELOW - value / top * (HEIGHT - ABOVE - BELOW);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"13\" fill=\"#333\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
        );
        let mut text = |x: f64, y: f64, anchor: &str, more: &str, text: &str| {
            // Writing into a string does not fail.
            let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{text}</text>");
        };
        text(LEFT, 24.0, "start", " font-size=\"16\" font-weight=\"bold\"", self.title);
        text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12.0, "middle", "", self.x);
        let middle = (ABOVE + HEIGHT - BELOW) / 2.0;
        let turned = format!(" transform=\"rotate(-90 18 {middle})\"");
        text(18.0, middle, "middle", &turned, self.y);
        for part in 0..=4 {
            let value = top * f64::from(part) / 4.0;
            text(LEFT - 8.0, y(value) + 4.0, "end", "", &format!("{value:.0}"));
        }
        for point in &self.points {
            text(x(point.x), HEIGHT - BELOW + 20.0, "middle", "", &thousands(point.x));
            // The first would stand on the axis.
            let anchor = if point.x > first { "middle" } else { "start" };
            let digits = if point.y < 10.0 { 2 } else { 0 };
            text(x(point.x), y(point.most) - 8.0, anchor, "", &format!("{:.digits$}", point.y));
        }
        for part in 0..=4 {
            let at = y(top * f64::from(part) / 4.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\" stroke=\"#ddd\"/>",
                WIDTH - RIGHT
            );
        }
        let curve: Vec<_> = self.points.iter().map(|point| format!("{:.1},{:.1}", x(point.x), y(point.y))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>",
            curve.join(" ")
        );
        for Point { x: at, y: middle, least, most } in &self.points {
            let (at, least, most) = (x(*at), y(*least), y(*most));
            let _ = writeln!(
                svg,
                "<path d=\"M{at:.1} {least:.1}V{most:.1}\" stroke=\"#06c\"/><circle cx=\"{at:.1}\" cy=\"{:.1}\" r=\"4\" \
                 fill=\"#06c\"/>",
                y(*middle)
            );
        }
        svg + "</svg>\n"
    }
}

/// The smallest number of the kind 1, 2, 4 or 8 times a power of ten that is not smaller.
fn nice(value: f64) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().map(|step| step * power).find(|&step| step >= value).unwrap_or(value)
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([1.0, 130.0, 401.0, 900.0].map(nice), [1.0, 200.0, 800.0, 1000.0]);
        assert_eq!([100.0, 1_000.0, 1_000_000.0].map(thousands), ["100", "1,000", "1,000,000"]);
    }

    #[test]
    fn a_flat_curve_is_a_level_line() {
        let point = |x| Point { x, y: 150.0, least: 140.0, most: 160.0 };
        let plot = Plot { title: "t", x: "x", y: "y", points: [100.0, 1_000.0, 10_000.0].map(point).to_vec() };
        let svg = plot.svg();
        let curve = svg.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let places: Vec<_> = curve.split(' ').map(|place| place.split_once(',').unwrap()).collect();
        assert_eq!(places.len(), 3);
        assert!(places.iter().all(|(_, y)| *y == places[0].1), "{curve}");
    }
}
