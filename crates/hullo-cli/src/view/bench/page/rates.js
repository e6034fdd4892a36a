
// Amounts a second over time: each of the `series` is [words, name in a column, colour, "area" or "dashed"].
function rates(run, { title, about, series, unit, group, spoken }) {
  const draw = (width) => {
    const area = room(width, isSlim(width) ? 180 : 250);
    const { list, span } = columnsOf(run, FEW);
    const sides = sidesOf(list, span, area);
    const of = (name) => list.map((column) => column[name] / column.seconds);
    const most = Math.max(...series.flatMap(([, name]) => of(name)), 0) * 1.05 || 1;
    const up = (value) => area.bottom - (value / most) * (area.bottom - area.top);
    // A column has one rate, from its beginning to its end.
    const stairs = (name) => through(of(name).flatMap((rate, at) => sides[at].map((x) => [x, up(rate)])));
    return {
      width, height: area.height, list, span,
      node: [
        upAxis(area, places(most, (area.bottom - area.top) / 44).map((value) => [up(value), amount(value, unit)])),
        series.map(([, name, kind, shape]) => [
          shape === "area" && svg("path", { d: `${stairs(name)}V${area.bottom}H${area.left}z`, class: `area f-${kind}` }),
          svg("path", { d: stairs(name), class: `stroke thin c-${kind} ${shape === "dashed" ? "dashed" : ""}` }),
        ]),
        timeAxis(area, span),
      ],
      stops: sides.map(([left, right]) => (left + right) / 2),
      marks: (at) => [svg("rect", { x: sides[at][0], y: area.top, width: sides[at][1] - sides[at][0], height: area.bottom - area.top, class: "cursor" })],
    };
  };
  const says = (at, _, { list, span }) => {
    const of = (name) => (at === null ? list.reduce((sum, column) => sum + column[name], 0) / span : list[at][name] / list[at].seconds);
    return [
      at !== null && html("span", {}, html("b", {}, when(list[at], span))),
      ...series.map(([words, name, kind, shape]) => key(shape === "area" ? [box(`area f-${kind}`), line(`c-${kind}`)] : line(`c-${kind} dashed`), words, `${amount(of(name), unit)}/s`)),
    ];
  };
  return chart({ title, about, group, draw, says, spoken });
}
