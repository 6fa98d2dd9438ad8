// Counts the lines of a file: {"path": "a.txt"} gives {"lines": 3}.
interface Args {
  path: string;
}

interface Result {
  lines: number;
}

export default async function run(args: Args, libos: Libos): Promise<Result> {
  const file = await libos.fs.read({ path: args.path });
  return { lines: file.text.split("\n").length };
}
