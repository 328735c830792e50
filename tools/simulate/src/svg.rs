//! Charts as SVG text: lines or dots over two axes, readable on light and dark pages.

use std::fmt::Write;

const WIDTH: f64 = 820.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// Colours that are told apart by most eyes.
pub const COLOURS: [&str; 7] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f",
];

/// A chart.
pub struct Chart<'a> {
    pub title: &'a str,
    pub x_label: &'a str,
    pub y_label: &'a str,
    /// Whether x grows by factors of ten.
    pub is_log: bool,
    pub series: Vec<Series>,
}

/// Points that belong together.
pub struct Series {
    /// Not in the legend when empty.
    pub name: String,
    pub colour: &'static str,
    pub points: Vec<(f64, f64)>,
    pub are_dots: bool,
}

struct Scale {
    x: (f64, f64),
    y: (f64, f64),
    is_log: bool,
}

impl Chart<'_> {
    /// The whole file.
    pub fn render(&self) -> String {
        let scale = self.scale();
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
        );
        svg += &label(LEFT, 24.0, "start", 15, self.title);
        svg += &label(
            (LEFT + WIDTH - RIGHT) / 2.0,
            HEIGHT - 12.0,
            "middle",
            12,
            self.x_label,
        );
        svg += &label(LEFT, TOP - 6.0, "start", 11, self.y_label);
        svg += &scale.axes();
        for series in &self.series {
            svg += &series.render(&scale);
        }
        svg += &self.legend();
        svg + "</svg>\n"
    }

    fn scale(&self) -> Scale {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let bounds = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let (low, high) = bounds(&mut points().map(|point| point.0));
        let (_, most) = bounds(&mut points().map(|point| point.1));
        let x = if self.is_log {
            (low.max(1e-3).log10().floor(), high.max(1e-2).log10().ceil())
        } else {
            (0.0, if high > 0.0 { high } else { 1.0 })
        };
        Scale {
            x,
            y: (0.0, if most > 0.0 { most * 1.05 } else { 1.0 }),
            is_log: self.is_log,
        }
    }

    fn legend(&self) -> String {
        let named = self.series.iter().filter(|series| !series.name.is_empty());
        let mut svg = String::new();
        for (at, series) in named.enumerate() {
            let (x, y) = (WIDTH - RIGHT + 14.0, TOP + 8.0 + 18.0 * at as f64);
            // Writing to a string does not fail.
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{:.0}\" width=\"12\" height=\"4\" fill=\"{}\"/>",
                y - 5.0,
                series.colour
            );
            svg += &label(x + 18.0, y, "start", 12, &series.name);
        }
        svg
    }
}

impl Scale {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let x = if self.is_log {
            x.max(10_f64.powf(self.x.0)).log10()
        } else {
            x
        };
        let across = (x - self.x.0) / (self.x.1 - self.x.0).max(1e-9);
        let up = (y - self.y.0) / (self.y.1 - self.y.0).max(1e-9);
        (
            LEFT + across * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM),
        )
    }

    fn axes(&self) -> String {
        let mut svg = String::new();
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for at in ticks(self.y) {
            let (_, y) = self.place((1.0, at));
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>"
            );
            svg += &label(LEFT - 8.0, y + 4.0, "end", 11, &plain(at));
        }
        let steps = if self.is_log {
            decades(self.x)
        } else {
            ticks(self.x)
        };
        for at in steps {
            let (x, _) = self.place((at, 0.0));
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{bottom}\" x2=\"{x:.1}\" y2=\"{:.0}\" stroke=\"#666666\"/>",
                bottom + 5.0
            );
            svg += &label(x, bottom + 19.0, "middle", 11, &plain(at));
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{bottom}\" x2=\"{right}\" y2=\"{bottom}\" stroke=\"#666666\"/>"
        );
        svg
    }
}

impl Series {
    fn render(&self, scale: &Scale) -> String {
        let places = self.points.iter().map(|point| scale.place(*point));
        let mut svg = String::new();
        if self.are_dots {
            for (x, y) in places {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.8\" fill=\"{}\" fill-opacity=\"0.5\"/>",
                    self.colour
                );
            }
            return svg;
        }
        let path: Vec<String> = places.map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"/>",
            path.join(" "),
            self.colour
        );
        svg
    }
}

/// About five round numbers.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    (0..=10)
        .map(|at| low + f64::from(at) * step)
        .take_while(|at| *at <= high)
        .collect()
}

fn decades((low, high): (f64, f64)) -> Vec<f64> {
    (-6..=9)
        .map(f64::from)
        .filter(|power| (low..=high).contains(power))
        .map(|power| 10_f64.powf(power))
        .collect()
}

fn plain(value: f64) -> String {
    let rounded = (value * 1000.0).round() / 1000.0;
    rounded.to_string()
}

fn label(x: f64, y: f64, anchor: &str, size: u32, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" font-size=\"{size}\" fill=\"#222222\">{text}</text>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(ticks((0.0, 10.5)), [0.0, 5.0, 10.0]);
        assert_eq!(
            ticks((0.0, 1.0)),
            [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]
        );
        assert_eq!(decades((-2.0, 1.0)), [0.01, 0.1, 1.0, 10.0]);
    }

    #[test]
    fn points_stay_on_the_page_and_text_is_escaped() {
        let chart = Chart {
            title: "a < b & c",
            x_label: "s",
            y_label: "share",
            is_log: true,
            series: vec![Series {
                name: "waits".to_owned(),
                colour: COLOURS[0],
                points: vec![(0.0, 0.0), (100.0, 1.0)],
                are_dots: false,
            }],
        };
        let svg = chart.render();
        assert!(svg.contains("a &lt; b &amp; c") && svg.ends_with("</svg>\n"));
        assert!(svg.contains("points=\"70.0,368.0 620.0,"), "{svg}");
    }
}
