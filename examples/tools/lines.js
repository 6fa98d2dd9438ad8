// Counts the lines of a file: {"path": "a.txt"} gives {"lines": 3}.
export default async function run(args, libos) {
  const file = await libos.fs.read({ path: args.path });
  return { lines: file.text.split("\n").length };
}
