package main

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
)

// The size of a cell of the grid of the dashboard, in pixels.
const (
	cellWidth  = 42
	cellHeight = 24
	margin     = 4
)

var palette = []string{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"}

// series is what Prometheus answers to a query for a range: a time in seconds and a value as text, again and again.
type series struct {
	Metric map[string]string `json:"metric"`
	Values [][2]any          `json:"values"`
}

// answers are the series by the title of the panel, for each of its queries.
type answers map[string][][]series

type panel struct {
	Type    string
	Title   string
	GridPos struct{ X, Y, W, H float64 }
	Targets []struct{ LegendFormat string }
}

type line struct {
	legend string
	points [][2]float64
}

// draw draws the dashboard with the answers of a real Prometheus. It is not Grafana that draws, so the picture shows what each panel has, not how Grafana
// looks.
func draw(answersFile string, to io.Writer) error {
	text, err := os.ReadFile(answersFile)
	if err != nil {
		return err
	}
	var found answers
	if err := json.Unmarshal(text, &found); err != nil {
		return err
	}
	panels, err := panels()
	if err != nil {
		return err
	}
	var body strings.Builder
	height := 0.0
	for _, panel := range panels {
		if strings.HasPrefix(panel.Title, "Pods") {
			break
		}
		height = max(height, (panel.GridPos.Y+panel.GridPos.H)*cellHeight)
		drawPanel(&body, panel, lines(panel, found[panel.Title]))
	}
	_, err = fmt.Fprintf(to, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" font-family="sans-serif" font-size="11">
<rect width="100%%" height="100%%" fill="#f4f5f5"/>
%s</svg>
`, 24*cellWidth, height+margin, body.String())
	return err
}

func panels() ([]panel, error) {
	built, err := build().Build()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(built.Panels)
	if err != nil {
		return nil, err
	}
	var panels []panel
	return panels, json.Unmarshal(text, &panels)
}

// lines are the series of a panel with their legends, without those that are always 0.
func lines(panel panel, queries [][]series) []line {
	var lines []line
	for i, query := range queries {
		for _, series := range query {
			line := line{legend: legend(panel.Targets[i].LegendFormat, series.Metric)}
			highest := 0.0
			for _, value := range series.Values {
				number, err := strconv.ParseFloat(value[1].(string), 64)
				if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
					continue
				}
				highest = max(highest, number)
				line.points = append(line.points, [2]float64{value[0].(float64), number})
			}
			if highest > 0 || len(query) == 1 {
				lines = append(lines, line)
			}
		}
	}
	sort.Slice(lines, func(i, j int) bool { return lines[i].legend < lines[j].legend })
	return lines
}

func legend(format string, labels map[string]string) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	if format != "" {
		return format
	}
	return strings.Trim(strings.Join([]string{labels["plan_namespace"], labels["plan"], labels["reason"]}, "  "), " ")
}

func drawPanel(to *strings.Builder, panel panel, lines []line) {
	x, y := panel.GridPos.X*cellWidth+margin, panel.GridPos.Y*cellHeight+margin
	width, height := panel.GridPos.W*cellWidth-2*margin, panel.GridPos.H*cellHeight-2*margin
	if panel.Type == "row" {
		label(to, x+4, y+14, "#1f2328", "bold", panel.Title)
		return
	}
	fmt.Fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"white\" stroke=\"#dcdfe3\"/>\n", x, y, width, height)
	label(to, x+8, y+16, "#1f2328", "normal", panel.Title)
	switch panel.Type {
	case "stat":
		text := "0"
		if len(lines) > 0 && len(lines[0].points) > 0 {
			text = format(lines[0].points[len(lines[0].points)-1][1])
			if lines[0].legend != "" {
				text = lines[0].legend
			}
		}
		fmt.Fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"22\" text-anchor=\"middle\" fill=\"#1a7f37\">%s</text>\n", x+width/2, y+height-18, html.EscapeString(text))
	case "table":
		for i, line := range lines {
			if at := y + 36 + float64(i)*15; at < y+height-4 {
				label(to, x+8, at, "#1f2328", "normal", line.legend)
				label(to, x+width-70, at, "#1f2328", "normal", format(line.points[len(line.points)-1][1])+" s")
			}
		}
	default:
		drawLines(to, x+44, y+26, width-54, height-60, lines)
	}
}

func drawLines(to *strings.Builder, x, y, width, height float64, lines []line) {
	from, until, top := math.Inf(1), math.Inf(-1), 0.0
	for _, line := range lines {
		for _, point := range line.points {
			from, until, top = min(from, point[0]), max(until, point[0]), max(top, point[1])
		}
	}
	if top == 0 {
		top = 1
	}
	for _, share := range []float64{0, 0.5, 1} {
		at := y + height*(1-share)
		fmt.Fprintf(to, "<path d=\"M%.1f %.1fh%.1f\" stroke=\"#eaecef\"/>\n", x, at, width)
		fmt.Fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" font-size=\"9\" fill=\"#57606a\">%s</text>\n", x-4, at+3, format(top*share))
	}
	legendAt := x - 36
	for i, line := range lines {
		color := palette[i%len(palette)]
		var path []string
		for _, point := range line.points {
			path = append(path, fmt.Sprintf("%.1f,%.1f", x+width*(point[0]-from)/max(until-from, 1), y+height*(1-point[1]/top)))
		}
		fmt.Fprintf(to, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.3\"/>\n", strings.Join(path, " "), color)
		if legendAt+float64(len(line.legend))*5.4+14 < x+width {
			fmt.Fprintf(to, "<rect x=\"%.1f\" y=\"%.1f\" width=\"8\" height=\"3\" fill=\"%s\"/>\n", legendAt, y+height+18, color)
			fmt.Fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"9\" fill=\"#57606a\">%s</text>\n", legendAt+11, y+height+22, html.EscapeString(line.legend))
			legendAt += float64(len(line.legend))*5.4 + 20
		}
	}
}

func label(to *strings.Builder, x, y float64, color, weight, text string) {
	fmt.Fprintf(to, "<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" font-weight=\"%s\">%s</text>\n", x, y, color, weight, html.EscapeString(text))
}

func format(value float64) string {
	return strconv.FormatFloat(value, 'g', 3, 64)
}
