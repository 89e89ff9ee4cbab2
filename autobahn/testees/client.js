/** Process of a testee in the client's role: `client.js NAME URL` visits every case of a fuzzing server. */

const [, , name, url] = process.argv;
const { visit } = await import(`./${name}.js`);

process.on('disconnect', () => process.exit(1));
const count = Number(await visit(`${url}/getCaseCount`, false));
for (let number = 1; number <= count; number++) {
  // A case that ends in an error is told by the suite's report.
  await visit(`${url}/runCase?case=${number}&agent=${name}`, true).catch(() => {});
}
await visit(`${url}/updateReports?agent=${name}`, false);
process.exit();
