/** Process of a testee in the server's role: `server.js NAME`; tells its parent the port. */

const { listen } = await import(`./${process.argv[2]}.js`);
process.send?.(await listen());
process.on('disconnect', () => process.exit());
