export default async function run(args: { path: string }, libos: Libos) {
  const file = await libos.fs.read({ path: args.path });
  const months: Record<string, number> = {};
  let total = 0;
  for (const line of file.text.trim().split("\n").slice(1)) {
    const [day, , cents] = line.split(",");
    const month = day.slice(0, 7);
    months[month] = (months[month] ?? 0) + Number(cents);
    total += Number(cents);
  }
  return { total, months };
}
