//! A screen as an SVG: each piece of text at its column, whatever font the reader has, and bars and rules as shapes.

use std::fmt::Write as _;

use ratatui::{
    buffer::{Buffer, Cell},
    style::{Color, Modifier},
};

/// Size of a character in units of the picture. Most fonts for terminals are 0.6 of their size wide.
const CELL: (f64, f64) = (8.4, 19.0);
const FONT: f64 = 14.0;
/// From the top of a line to the feet of its letters.
const FEET: f64 = 14.0;
const MARGIN: f64 = 14.0;

/// The page is light, also where what is around it is dark.
const PAPER: &str = "#ffffff";
const INK: &str = "#1f2328";
const FAINT: &str = "#656d76";
const RULE: &str = "#c8ced5";

/// The screen; its title is for those who cannot see it.
pub fn drawn(title: &str, screen: &Buffer) -> String {
    let (columns, lines) = (f64::from(screen.area.width), f64::from(screen.area.height));
    let (width, height) = (columns * CELL.0 + 2.0 * MARGIN, lines * CELL.1 + 2.0 * MARGIN);
    let fonts = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";
    let mut out = String::new();
    let mut put = |line: String| writeln!(out, "{line}").unwrap();
    put(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1} {height:.1}" width="{width:.0}" role="img">"#
    ));
    put(format!("<title>{title}</title>"));
    put(format!("<style>text {{ font: {FONT}px {fonts}; white-space: pre; }} .b {{ font-weight: bold; }}</style>"));
    put(format!(
        r#"<rect x="0.5" y="0.5" width="{:.1}" height="{:.1}" rx="8" fill="{PAPER}" stroke="{RULE}"/>"#,
        width - 1.0,
        height - 1.0
    ));
    for line in 0..screen.area.height {
        for run in runs(screen, line) {
            run.draw(f64::from(line) * CELL.1 + MARGIN, &mut put);
        }
    }
    put("</svg>".to_owned());
    out
}

/// What is next to each other and looks alike.
struct Run {
    column: usize,
    symbols: Vec<String>,
    look: Look,
}

#[derive(Clone, Copy, PartialEq)]
struct Look {
    ink: &'static str,
    paper: Option<&'static str>,
    is_bold: bool,
    is_underlined: bool,
    /// A bar or a rule, of which each character is a shape of its own.
    is_shape: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let has = |modifier| cell.modifier.contains(modifier);
        let ink = match cell.fg {
            Color::Red => "#cf222e",
            Color::Green => "#1a7f37",
            Color::Yellow => "#9a6700",
            Color::Cyan => "#0b6e8a",
            _ if has(Modifier::DIM) => FAINT,
            Color::Reset => INK,
            other => panic!("{other} has no ink"),
        };
        let is_reversed = has(Modifier::REVERSED);
        Self {
            ink: if is_reversed { PAPER } else { ink },
            paper: is_reversed.then_some(INK),
            is_bold: has(Modifier::BOLD),
            is_underlined: has(Modifier::UNDERLINED),
            is_shape: shape(cell.symbol()).is_some(),
        }
    }
}

fn runs(screen: &Buffer, line: u16) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for x in 0..screen.area.width {
        let cell = &screen[(x, line)];
        let look = Look::of(cell);
        match runs.last_mut().filter(|run| run.look == look) {
            Some(run) => run.symbols.push(cell.symbol().to_owned()),
            None => runs.push(Run { column: x.into(), symbols: vec![cell.symbol().to_owned()], look }),
        }
    }
    runs
}

impl Run {
    fn draw(&self, y: f64, put: &mut impl FnMut(String)) {
        let Look { ink, paper, is_bold, is_underlined, is_shape } = self.look;
        let x = |column: usize| column as f64 * CELL.0 + MARGIN;
        let (left, width) = (x(self.column), self.symbols.len() as f64 * CELL.0);
        let mut fill = |x: f64, y: f64, width: f64, height: f64, fill: &str| {
            put(format!(r#"<rect x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"/>"#));
        };
        if let Some(paper) = paper {
            fill(left, y, width, CELL.1, paper);
        }
        if is_underlined {
            fill(left, y + CELL.1 - 2.0, width, 1.0, RULE);
        }
        if is_shape {
            let mut column = self.column;
            for same in self.symbols.chunk_by(|a, b| a == b) {
                let width = same.len() as f64 * CELL.0;
                match shape(&same[0]) {
                    Some(Shape::Bar(eighths)) => {
                        let height = CELL.1 * f64::from(eighths) / 8.0;
                        fill(x(column), y + CELL.1 - height, width, height, ink);
                    }
                    Some(Shape::Along) => fill(x(column), y + CELL.1 / 2.0, width, 1.0, RULE),
                    Some(Shape::Down) => fill(x(column) + CELL.0 / 2.0, y, 1.0, CELL.1, RULE),
                    None => {}
                }
                column += same.len();
            }
            return;
        }
        let text = self.symbols.concat();
        let blank = text.len() - text.trim_start().len();
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let length = text.chars().count() as f64 * CELL.0;
        let class = if is_bold { r#" class="b""# } else { "" };
        put(format!(
            r#"<text x="{:.1}" y="{:.1}" textLength="{length:.1}" lengthAdjust="spacingAndGlyphs" fill="{ink}"{class}>{}</text>"#,
            x(self.column + blank),
            y + FEET,
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
        ));
    }
}

enum Shape {
    /// So many eighths high.
    Bar(u8),
    /// A rule from left to right.
    Along,
    /// A rule from top to bottom.
    Down,
}

fn shape(symbol: &str) -> Option<Shape> {
    let bar = "▁▂▃▄▅▆▇█".chars().position(|bar| symbol.starts_with(bar));
    match (symbol, bar) {
        (_, Some(height)) => Some(Shape::Bar(height as u8 + 1)),
        ("─", _) => Some(Shape::Along),
        ("│", _) => Some(Shape::Down),
        _ => None,
    }
}
