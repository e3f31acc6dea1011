# Tidegate in a small image; how to use it: docs/deploy.md.
#
#   docker build -t tidegate .
#   docker run -p 8080:8080 -v "$PWD/tidegate.config.yaml:/etc/tidegate/tidegate.config.yaml:ro" tidegate

# With a compiler, for the native engine. Both stages have the same Debian and the same Node, so what is built in the
# first one runs in the second.
FROM node:22-bookworm AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY native native
RUN npm run build:native
COPY tsconfig.json tsconfig.build.json ./
COPY bin bin
COPY demo demo
COPY scripts scripts
COPY src src
RUN npm run build
RUN npm prune --omit=dev --ignore-scripts

FROM node:22-bookworm-slim
WORKDIR /opt/tidegate
COPY --from=build /src/package.json ./
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/native/build/Release/tidegate_relay.node native/build/Release/
COPY --from=build /src/bin bin
COPY --from=build /src/demo demo
COPY --from=build /src/dist dist
RUN ln -s /opt/tidegate/bin/tidegate.js /usr/local/bin/tidegate
ENV NODE_ENV=production
# tidegate.config.{ts,mjs,js,json,yaml,yml}, the first that is there.
WORKDIR /etc/tidegate
USER node
# SIGTERM drains; give `docker stop --time` more than `drain.timeout`.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/opt/tidegate/bin/tidegate.js"]
CMD ["serve"]
