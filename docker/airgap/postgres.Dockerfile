# postgres:17-alpine: Debian's PostgreSQL behind the official image's contract, by the entrypoint that the raw way uses (the context).
ARG DEBIAN
FROM ${DEBIAN}
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends postgresql >/dev/null \
 && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* /etc/postgresql/* \
 && ln -s /usr/lib/postgresql/* /usr/lib/postgresql/server \
 && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
COPY docker-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
# Before Debian's wrappers, which are Perl and choose among versions.
ENV PATH=/usr/lib/postgresql/server/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGDATA=/var/lib/postgresql/data
VOLUME /var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["/bin/sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
