// Builds dist. With --check: builds it elsewhere, compares, type-checks, runs the tests with both builds, and measures.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const MOST = 6144; // bytes of index.min.js, gzipped
const here = fileURLToPath(new URL(".", import.meta.url));
const check = process.argv.includes("--check");
const out = check ? mkdtempSync(join(tmpdir(), "troupe-client-")) : join(here, "dist");

try {
  await bundle("index", {});
  await bundle("index", { minify: true, mangleProps: /^_/, suffix: ".min" });
  await bundle("testing", {});
  declarations();
  const size = gzipSync(readFileSync(join(out, "index.min.js")), { level: 9 }).length;
  console.log(`index.min.js: ${size} bytes gzipped, of ${MOST}`);
  if (size > MOST) fail("the client is too large");
  if (check) {
    for (const name of new Set([...readdirSync(out), ...readdirSync(join(here, "dist"))])) {
      if (read(join(out, name)) !== read(join(here, "dist", name))) fail(`dist/${name} is not what src makes: npm run build`);
    }
    run("tsc", ["-p", "test"]);
    readme();
    const tests = readdirSync(join(here, "test")).filter((name) => name.endsWith(".test.mjs"));
    for (const entry of ["index.js", "index.min.js"]) {
      run(process.execPath, ["--test", ...tests.map((name) => join("test", name))], { TROUPE_CLIENT: entry });
    }
  }
} finally {
  if (check) rmSync(out, { recursive: true });
}

async function bundle(name, { suffix = "", ...options }) {
  await build({
    absWorkingDir: here,
    entryPoints: [`src/${name}.ts`],
    outfile: join(out, `${name}${suffix}.js`),
    bundle: true,
    format: "esm",
    target: "es2022",
    tsconfigRaw: { compilerOptions: { useDefineForClassFields: false } },
    charset: "utf8",
    ...options,
  });
}

// One file of types for each entry.
function declarations() {
  const types = mkdtempSync(join(tmpdir(), "troupe-types-"));
  try {
    run("tsc", ["-p", ".", "--outDir", types]);
    const part = (name) => read(join(types, `${name}.d.ts`)).replace(/^(import|export \*).*\n/gm, "");
    writeFileSync(join(out, "index.d.ts"), part("api") + part("index"));
    const needs = 'import type { Codec } from "./index.js";\ntype Wire = string | Uint8Array;\n';
    writeFileSync(join(out, "testing.d.ts"), needs + part("testing"));
  } finally {
    rmSync(types, { recursive: true });
  }
}

// Each snippet of the README compiles by itself.
function readme() {
  const dir = mkdtempSync(join(here, ".readme-"));
  try {
    const snippets = [...read(join(here, "README.md")).matchAll(/^```ts\n(.*?)^```/gms)];
    if (!snippets.length) fail("README.md has no snippets");
    snippets.forEach(([, code], i) => writeFileSync(join(dir, `${i + 1}.ts`), code));
    writeFileSync(join(dir, "tsconfig.json"), JSON.stringify({ extends: "../test/tsconfig.json", include: ["*.ts"] }));
    run("tsc", ["-p", dir]);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function run(command, args, env = {}) {
  const path = join(here, "node_modules", ".bin") + ":" + process.env.PATH;
  const { status } = spawnSync(command, args, { cwd: here, stdio: "inherit", env: { ...process.env, PATH: path, ...env } });
  if (status !== 0) fail(`${command} ${args.join(" ")}`);
}

function fail(why) {
  throw new Error(why);
}
