//! Grouped bars as an SVG that is readable on light and on dark pages.

use std::fmt::Write;

/// Panels side by side, with one legend for all.
#[derive(Clone, Debug)]
pub struct Plot {
    /// Above all.
    pub title: String,
    /// Whose bars stand next to each other in each group; nine at most have a colour of their own.
    pub series: Vec<String>,
    /// From left to right.
    pub panels: Vec<Panel>,
}

/// Groups of bars over one scale.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Above its bars.
    pub title: String,
    /// From left to right.
    pub groups: Vec<Group>,
}

/// Bars next to each other.
#[derive(Clone, Debug)]
pub struct Group {
    /// Below its bars.
    pub label: String,
    /// One for each series, in their order; nothing is drawn where there is none.
    pub values: Vec<Option<f64>>,
}

/// A colour for each series; none needs a light or a dark background.
const COLOURS: [&str; 9] = [
    "#8c8c8c", "#3d85c6", "#e69138", "#6aa84f", "#cc4125", "#8e7cc3", "#c27ba0", "#45818e",
    "#b88a00",
];

const BAR: f64 = 26.0;
const GAP: f64 = 22.0;
const MARGIN: f64 = 24.0;
/// Where bars stand, and how high the highest is.
const FLOOR: f64 = 300.0;
const HEIGHT: f64 = 200.0;
const BOTTOM: f64 = 340.0;

/// Rules for both kinds of pages; text has no colour of its own in the elements.
const STYLE: &str = "\
text { font: 12px sans-serif; fill: #24292f; }
.title { font-size: 15px; font-weight: bold; }
.value { font-size: 10px; }
line { stroke: #8c8c8c; }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3; } }";

impl Plot {
    /// Draws it. A bar's height is its value's share of the highest in its panel.
    #[must_use]
    pub fn svg(&self) -> String {
        let mut body = String::new();
        let mut left = MARGIN;
        for panel in &self.panels {
            left = panel.draw(&mut body, left, self.series.len());
            left += MARGIN;
        }
        let width = left.max(self.draw_legend(&mut body));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {BOTTOM:.0}\" role=\"img\">\n\
             <title>{title}</title>\n<style>{STYLE}</style>\n",
            title = escaped(&self.title)
        );
        text(&mut svg, (MARGIN, 24.0), ("title", "start"), &self.title);
        svg.push_str(&body);
        svg.push_str("</svg>\n");
        svg
    }

    /// Draws the names of the series in a row; answers where it ends.
    fn draw_legend(&self, body: &mut String) -> f64 {
        let mut left = MARGIN;
        for (name, colour) in self.series.iter().zip(COLOURS) {
            put(
                body,
                format_args!(
                    "<rect class=\"key\" x=\"{left:.1}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
                ),
            );
            text(body, (left + 18.0, 48.0), ("name", "start"), name);
            left += 36.0 + 7.5 * count(name.chars().count());
        }
        left
    }
}

impl Panel {
    /// Draws it from `left` on; answers where it ends.
    fn draw(&self, body: &mut String, left: f64, series: usize) -> f64 {
        let highest = self.values().fold(0.0, f64::max);
        let group_width = BAR * count(series) + GAP;
        let right = left + group_width * count(self.groups.len());
        text(body, (left, FLOOR - HEIGHT - 26.0), ("panel", "start"), &self.title);
        for (index, group) in self.groups.iter().enumerate() {
            let start = left + GAP / 2.0 + group_width * count(index);
            group.draw(body, start, highest);
            let middle = start + BAR * count(series) / 2.0;
            text(body, (middle, FLOOR + 18.0), ("group", "middle"), &group.label);
        }
        put(
            body,
            format_args!(
                "<line x1=\"{left:.1}\" y1=\"{FLOOR:.1}\" x2=\"{right:.1}\" y2=\"{FLOOR:.1}\"/>"
            ),
        );
        right
    }

    fn values(&self) -> impl Iterator<Item = f64> {
        self.groups.iter().flat_map(|group| group.values.iter().copied().flatten())
    }
}

impl Group {
    fn draw(&self, body: &mut String, start: f64, highest: f64) {
        for (index, (value, colour)) in self.values.iter().zip(COLOURS).enumerate() {
            let Some(value) = value else { continue };
            let left = start + BAR * count(index);
            let height = if highest > 0.0 { HEIGHT * value / highest } else { 0.0 };
            let (top, width) = (FLOOR - height, BAR - 2.0);
            put(
                body,
                format_args!(
                    "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\"/>"
                ),
            );
            let middle = left + width / 2.0;
            // Bars are as wide as four digits.
            let decimals = usize::from(*value < 99.95);
            text(body, (middle, top - 4.0), ("value", "middle"), &format!("{value:.decimals$}"));
        }
    }
}

fn text(body: &mut String, (x, y): (f64, f64), (class, anchor): (&str, &str), content: &str) {
    let content = escaped(content);
    put(
        body,
        format_args!(
            "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>"
        ),
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Few enough for an exact number.
fn count(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::INFINITY, f64::from)
}

fn put(body: &mut String, element: std::fmt::Arguments<'_>) {
    // Writing to a String can't fail.
    let _infallible = writeln!(body, "{element}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot() -> Plot {
        let group = |label: &str, values: [Option<f64>; 3]| Group {
            label: label.into(),
            values: values.into(),
        };
        let panel = |title: &str| Panel {
            title: title.into(),
            groups: vec![
                group("simple", [Some(10.0), Some(5.0), None]),
                group("prepared", [Some(2.5), Some(123.4), Some(0.0)]),
            ],
        };
        Plot {
            title: "CPU < 1 & more".into(),
            series: ["relay", "A & B", "Weir"].map(str::to_owned).into(),
            panels: vec![panel("16 clients"), panel("by clients")],
        }
    }

    /// The number that an attribute of an element holds.
    fn number(element: &str, attribute: &str) -> f64 {
        let (_, rest) = element.split_once(&format!(" {attribute}=\"")).unwrap();
        rest.split('"').next().unwrap().parse().unwrap()
    }

    fn bars(svg: &str) -> Vec<&str> {
        svg.lines().filter(|line| line.contains("class=\"bar\"")).collect()
    }

    /// Fails unless every element is closed in its order and `&` and `<` are escaped.
    fn assert_well_formed(svg: &str) {
        let mut open = Vec::new();
        let mut rest = svg;
        while let Some((before, after)) = rest.split_once('<') {
            assert!(!before.contains('>'), "{before}");
            let (tag, after) = after.split_once('>').unwrap();
            assert!(tag.matches('"').count() % 2 == 0 && !tag.contains('<'), "{tag}");
            if let Some(name) = tag.strip_prefix('/') {
                assert_eq!(open.pop(), Some(name));
            } else if !tag.ends_with('/') {
                open.push(tag.split(' ').next().unwrap());
            }
            rest = after;
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest}");
        let escapes = ["&amp;", "&lt;", "&gt;"];
        let at_ampersand = svg.match_indices('&').map(|(at, _)| &svg[at..]);
        assert!(at_ampersand.clone().count() > 0);
        assert!(at_ampersand.into_iter().all(|at| escapes.iter().any(|one| at.starts_with(one))));
    }

    #[test]
    fn it_is_well_formed() {
        assert_well_formed(&plot().svg());
    }

    #[test]
    fn each_value_has_one_bar_as_high_as_it_says() {
        let svg = plot().svg();
        let heights: Vec<_> = bars(&svg).iter().map(|bar| number(bar, "height")).collect();
        let panel = [16.2, 8.1, 4.1, 200.0, 0.0];
        assert_eq!(heights, [panel, panel].concat());
        assert!(bars(&svg).iter().all(|bar| number(bar, "y") + number(bar, "height") == FLOOR));
    }

    #[test]
    fn a_series_has_the_same_colour_everywhere_and_no_other_has_it() {
        let svg = plot().svg();
        for (colour, bars) in COLOURS.iter().zip([4, 4, 2]) {
            let of_it = svg.lines().filter(|line| line.contains(colour));
            let (keys, rest): (Vec<_>, Vec<_>) = of_it
                .filter(|line| line.starts_with("<rect"))
                .partition(|line| line.contains("class=\"key\""));
            assert_eq!((keys.len(), rest.len()), (1, bars), "{colour}");
        }
    }

    #[test]
    fn bars_do_not_overlap_and_stay_inside() {
        let svg = plot().svg();
        let mut spans: Vec<_> = bars(&svg)
            .iter()
            .map(|bar| (number(bar, "x"), number(bar, "x") + number(bar, "width")))
            .collect();
        spans.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(spans.windows(2).all(|pair| pair[0].1 < pair[1].0), "{spans:?}");
        let view = svg.split_once("viewBox=\"0 0 ").unwrap().1;
        let width: f64 = view.split(' ').next().unwrap().parse().unwrap();
        assert!(spans.first().unwrap().0 >= 0.0 && spans.last().unwrap().1 <= width);
    }

    #[test]
    fn dark_pages_get_light_text() {
        assert!(plot().svg().contains("prefers-color-scheme: dark) { text { fill: #e6edf3; }"));
    }
}
