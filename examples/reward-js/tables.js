// Share of the Markdown tables in a response that are well formed, in [0, 1].
//
//     score = well formed / max(found, 1)
//
// A table is a run of lines that begin with "|". It is well formed if it has a header, a delimiter row such as
// "|---|:-:|", at least one more row, and the same number of cells in every row; that number is `columns` where the
// objective asks for one. What stands in a fenced block of code is no table.
//
// Each line is read once, so the time is linear in the length of the response.

const PARAMS = [
  { name: "columns", kind: "integer", default: 0, doc: "cells that each row must have; 0 = any number" },
];

let columns = 0;

/** The cells of a row; "\|" is text, and the bar at the end is optional. */
function cells(line) {
  const found = [""];
  for (let i = 1; i < line.length; i++) {
    if (line[i] === "|") {
      found.push("");
    } else {
      if (line[i] === "\\" && line[i + 1] === "|") i++;
      found[found.length - 1] += line[i];
    }
  }
  if (found.length > 1 && found.at(-1) === "") found.pop();
  return found.map((cell) => cell.trim());
}

function wellFormed(lines) {
  const rows = lines.map(cells);
  const width = rows[0].length;
  return (
    rows.length >= 3 &&
    rows[1].every((cell) => /^:?-+:?$/.test(cell)) &&
    rows.every((row) => row.length === width) &&
    (columns === 0 || columns === width)
  );
}

/** The tables of a response, each a list of trimmed lines. */
function tables(response) {
  const found = [];
  let fence = null;
  let table = null;
  for (const line of response.split("\n").map((line) => line.trim())) {
    const mark = /^(```+|~~~+)/.exec(line)?.[0];
    if (mark && (fence === null || (mark[0] === fence[0] && mark.length >= fence.length))) {
      fence = fence === null ? mark : null;
    }
    if (fence === null && line.startsWith("|")) {
      if (table === null) found.push((table = []));
      table.push(line);
    } else {
      table = null;
    }
  }
  return found;
}

// The interface of the world. What a function throws becomes the error of its result.
export const scorer = {
  describe() {
    return {
      name: "well-formed-tables",
      about: "Share of the Markdown tables in the response that are well formed.",
      validation: "score",
      needsMeans: false,
      params: JSON.stringify(PARAMS),
    };
  },

  configure(params) {
    const given = JSON.parse(params);
    for (const key of Object.keys(given)) {
      if (key !== "columns") throw `unknown param ${JSON.stringify(key)}; known: columns`;
    }
    const value = given.columns ?? 0;
    if (!Number.isInteger(value) || value < 0) {
      throw `param "columns" is ${JSON.stringify(value)}, expected ${PARAMS[0].doc}`;
    }
    columns = value;
  },

  score(completions) {
    return completions.map(({ response }) => {
      const found = tables(response);
      const right = found.filter(wellFormed).length;
      return { tag: "ok", val: right / Math.max(found.length, 1) };
    });
  },
};
